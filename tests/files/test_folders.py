"""Finding images in the folders that people really have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecnn.errors import DataError
from edgecnn.files.folders import class_names, find_images, find_labelled
from edgecnn.files.walk import walk


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def found(root: Path) -> list[tuple[str, str, str | None]]:
    files = find_labelled(root)
    return [(f.path.relative_to(root).as_posix(), f.label, f.split) for f in files]


def test_the_class_is_the_first_folder_and_the_order_is_sorted(tmp_path):
    touch(tmp_path, "b/2.png", "b/1.PNG", "a/phone/day 1/x.jpeg", "a/0.webp")
    assert found(tmp_path) == [
        ("a/0.webp", "a", None),
        ("a/phone/day 1/x.jpeg", "a", None),
        ("b/1.PNG", "b", None),
        ("b/2.png", "b", None),
    ]
    assert class_names(find_labelled(tmp_path)) == ["a", "b"]


def test_splits_are_read_from_folders(tmp_path):
    touch(tmp_path, "train/cat/1.png", "val/cat/2.png", "test/dog/3.png")
    assert found(tmp_path) == [
        ("test/dog/3.png", "dog", "test"),
        ("train/cat/1.png", "cat", "train"),
        ("val/cat/2.png", "cat", "val"),
    ]


def test_a_class_may_be_called_test(tmp_path):
    touch(tmp_path, "test/1.png", "control/2.png")
    assert [label for _, label, _ in found(tmp_path)] == ["control", "test"]


def test_names_with_spaces_newlines_and_any_script_survive(tmp_path):
    odd = ["жд/ü ñ.png", "日本/ '\"$(x).jpg", "new\nline/a.png", "-rf/--help.png"]
    touch(tmp_path, *odd)
    assert sorted(name for name, _, _ in found(tmp_path)) == sorted(odd)


@pytest.mark.parametrize("label", ["dry/wet", "..", ".cat", "a\\b"])
def test_a_label_that_can_be_no_folder_is_refused(tmp_path, label):
    """`harvest` would write its picture elsewhere, or where nothing reads it."""
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text(f"file,label\n1.png,{label}\n2.png,dog\n")
    with pytest.raises(DataError, match="no folder can have the name of the class"):
        class_names(find_labelled(tmp_path, tmp_path / "labels.csv"))


def test_hidden_and_other_files_are_passed_over(tmp_path):
    touch(tmp_path, "a/1.png", "a/._1.png", "a/Thumbs.db", ".git/x.png", "a/.cache/y.png", "n.txt")
    assert [name for name, _, _ in found(tmp_path)] == ["a/1.png"]


def test_link_loops_end_and_linked_folders_count_once(tmp_path):
    touch(tmp_path / "store", "1.png")
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "link").symlink_to(tmp_path / "store")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "a" / "self").symlink_to("self")
    (tmp_path / "root" / "a" / "gone.png").symlink_to(tmp_path / "nowhere")
    names = [p.relative_to(tmp_path / "root").as_posix() for p in find_images(tmp_path / "root")]
    assert "a/link/1.png" in names
    assert all(name.count("loop") == 0 for name in names)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "holds no image"),
        (lambda p: p.write_text("x"), "is a file.*; give a folder of pictures"),
        (lambda p: p.write_bytes(b"\xff\xd8\xff"), "is a file.*; give its folder"),
        (lambda p: touch(p, "a.txt"), "holds no image"),
        (lambda p: touch(p, "loose.png"), "is in no class folder"),
        (lambda p: touch(p, "train/cat/1.png", "loose.png"), "is in no class folder"),
    ],
)
def test_what_is_no_labelled_folder_is_refused_in_one_line(tmp_path, make, match):
    root = tmp_path / "data"
    make(root)
    with pytest.raises(DataError, match=match) as caught:
        find_labelled(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("marks", "kind"),
    [(("card.json", "SHA256SUMS"), "a bundle"), (("card.json", "model.keras"), "a MODEL folder")],
)
def test_what_edgecnn_wrote_is_no_folder_of_images_but_one_of_its_files_may_be_in_it(
    tmp_path, marks, kind
):
    own = tmp_path / "own"
    touch(own, "golden/1.png", "layers.png", marks[0])
    assert len(find_images(own)) == 2
    touch(own, marks[1])
    for find in (find_images, find_labelled):
        for folder in (own, tmp_path):  # the folder above holds its pictures too
            with pytest.raises(DataError, match=f"is {kind}, expected a folder of") as caught:
                find(folder)
            assert str(caught.value).startswith(f"{own} is")
            assert (f"; move it out of {folder}, or give" in str(caught.value)) == (folder != own)
            assert "\n" not in str(caught.value)


def test_a_contact_sheet_alone_is_no_image(tmp_path):
    touch(tmp_path, "manifest.csv", "contact_sheet.png")
    with pytest.raises(DataError, match="holds no image file"):
        find_images(tmp_path)


@pytest.mark.parametrize("place", ["", "monday"])
def test_the_frames_of_a_session_are_no_class_and_no_name_to_change(tmp_path, place):
    touch(tmp_path / place, "session.json", "frames/1.png")
    touch(tmp_path, "tuesday/frames/2.png")
    assert len(find_images(tmp_path)) == 2
    with pytest.raises(DataError, match=r"is a session, .*`edgecnn audit`.*`edgecnn harvest`"):
        find_labelled(tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "a").chmod(0)
    with pytest.raises(DataError, match="can't read"):
        find_images(tmp_path)


def test_a_class_name_that_is_no_line_of_labels_txt_is_refused(tmp_path):
    touch(tmp_path, "good/1.png", "new\nline/2.png")
    with pytest.raises(DataError, match=r"'new\\nline'.*rename"):
        class_names(find_labelled(tmp_path))


def test_one_class_is_refused_with_its_name(tmp_path):
    touch(tmp_path, "only/1.png", "only/2.png")
    with pytest.raises(DataError, match="'only' with 2 images"):
        class_names(find_labelled(tmp_path))


def test_a_named_pipe_is_no_picture_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "b")
    (tmp_path / "c.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d.jpg").write_bytes(b"\xff\xd8\xff")
    found = walk(tmp_path)
    assert [path.name for path in found.files] == ["c.jpg", "d.jpg"]
    assert found.passed == {".jpg": 1, "without suffix": 1}


def test_a_class_folder_without_a_picture_is_named(tmp_path):
    for name in ("lab/cat/day1/1.png", "lab/dog/2.png", "lab/docs/deep/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    notes: list[str] = []
    find_labelled(tmp_path / "lab", notes=notes)
    assert f"{tmp_path / 'lab'}: no picture in the folder docs" in notes
    (tmp_path / "lab" / "horse").mkdir()
    (tmp_path / "lab" / ".git").mkdir()
    (tmp_path / "lab" / "dog" / "more").mkdir()
    find_labelled(tmp_path / "lab", notes=notes)
    assert f"{tmp_path / 'lab'}: no picture in 3 folders: docs, dog/more, horse" in notes


def test_a_table_with_the_labels_of_one_folder_is_named(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png")
    with pytest.raises(DataError, match="found one class"):
        class_names(find_labelled(tmp_path))
    table = tmp_path / "meta.csv"
    table.write_text("Image ID;label\na;cat\nb;dog\n")
    with pytest.raises(DataError, match=f"column label.*add --manifest {table}"):
        find_labelled(tmp_path)
    assert class_names(find_labelled(tmp_path, table)) == ["cat", "dog"]
    assert len(find_labelled(tmp_path, known=["images"])) == 2  # field images of one class


def test_accents_that_macos_writes_apart_are_the_same_label(tmp_path):
    """Else one folder in two encodings is two classes, and a bundle knows its own label not."""
    apart, composed = "A\u0308pfel", "\u00c4pfel"
    touch(tmp_path, f"lab/{apart}/1.png", f"lab/{composed}/2.png", "lab/Birne/3.png")
    assert class_names(find_labelled(tmp_path / "lab")) == ["Birne", composed]
    for spelling in (apart, composed):  # as an older bundle may have it
        labels = {file.label for file in find_labelled(tmp_path / "lab", known=["Birne", spelling])}
        assert labels == {"Birne", spelling}
    table = tmp_path / "labels.csv"
    table.write_text(f"file,label\nlab/{apart}/1.png,{apart}\nlab/Birne/3.png,Birne\n")
    assert class_names(find_labelled(tmp_path, table)) == ["Birne", composed]
