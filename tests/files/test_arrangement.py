"""Splits, classes and wrappers as data sets have them, and labels from a CSV file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecnn.errors import DataError
from edgecnn.files.arrangement import find_layout, split_role
from edgecnn.files.folders import find_images, find_labelled

JPEG = b"\xff\xd8\xff\xe0" + bytes(20)


def places(*paths: str, known: tuple[str, ...] = ()) -> dict[str, tuple[str | None, str] | None]:
    """path -> (split, class), None for one that is passed over"""
    layout = find_layout([tuple(path.split("/")) for path in paths], known)
    return {
        path: place and (place[0], place[1][0])
        for path, place in zip(paths, layout.places, strict=True)
    }


@pytest.mark.parametrize(
    ("parts", "splits"),
    [
        (("train/{}", "valid/{}", "test/{}"), ("train", "val", "test")),
        (("train/{}", "validation/{}", "test/{}"), ("train", "val", "test")),
        (("Train/{}", "Val/{}", "Test/{}"), ("train", "val", "test")),
        (("TRAIN/{}", "DEV/{}"), ("train", "val")),
        (("Training/{}", "Testing/{}"), ("train", "test")),
        (("training_set/training_set/{}", "test_set/test_set/{}"), ("train", "test")),
        (("seg_train/seg_train/{}", "seg_test/seg_test/{}"), ("train", "test")),
        (("archive/data/train/{}", "archive/data/val/{}"), ("train", "val")),
        (("train/images/{}", "test/images/{}"), ("train", "test")),
        (("TrainImages/{}", "validSet/{}", "test-data/{}"), ("train", "val", "test")),
        (("training/{}", "validation/{}", "evaluation/{}"), ("train", "val", "test")),
        (("{}/train", "{}/test"), ("train", "test")),
        (("set/{}/Training", "set/{}/Validation"), ("train", "val")),
        (("{}_train", "{}_test"), ("train", "test")),
        (("train/{}", "test/{}", "extra/{}"), ("train", "test", "train")),
        (("trainval/{}", "test/{}"), ("train", "test")),
        (("TrainVal/{}", "Test/{}"), ("train", "test")),
        (("1_train/{}", "2_val/{}"), ("train", "val")),
        (("Trainingsdaten/{}", "Validierung/{}", "Testdaten/{}"), ("train", "val", "test")),
        (("entraînement/{}", "validation/{}"), ("train", "val")),
        (("entrenamiento/{}", "validación/{}", "prueba/{}"), ("train", "val", "test")),
        (("treino/{}", "teste/{}"), ("train", "test")),
        (("训练集/{}", "验证集/{}", "测试集/{}"), ("train", "val", "test")),
        (("обучение/{}", "тест/{}"), ("train", "test")),
    ],
)
def test_splits_are_recognized_by_name_and_structure(parts, splits):
    paths = {
        f"{part.format(name)}/{k}.jpg": (split, name)
        for part, split in zip(parts, splits, strict=True)
        for name in ("cat", "dog", "owl")
        for k in range(2)
    }
    assert places(*paths) == paths


def test_what_was_recognized_is_said_in_a_line():
    paths = [("Training", "cat", "1"), ("Testing", "cat", "2")]
    assert find_layout(paths).notes == (
        "splits were recognized: Testing as test, Training as train",
    )
    assert find_layout([("train", "cat", "1"), ("test", "cat", "2")]).notes == ()


@pytest.mark.parametrize(
    "paths",
    [
        ("bus/1", "car/2", "train/3"),
        ("bus/cam1/1", "car/cam1/2", "train/cam1/3", "bus/cam2/1", "train/cam2/3"),
        ("test tube/1", "training shoe/2"),
        ("train station/1", "bus station/2"),
        ("control/1", "test/2"),
    ],
)
def test_classes_may_be_called_like_splits(paths):
    assert places(*paths) == {path: (None, path.split("/")[0]) for path in paths}


def test_a_class_called_train_lies_in_splits():
    assert places("train/train/1", "train/bus/2", "test/train/3") == {
        "train/train/1": ("train", "train"),
        "train/bus/2": ("train", "bus"),
        "test/train/3": ("test", "train"),
    }


def test_folders_around_the_classes_are_passed_through_but_not_a_known_class():
    assert places("photos/cat/1", "photos/dog/2") == {
        "photos/cat/1": (None, "cat"),
        "photos/dog/2": (None, "dog"),
    }
    devices = ("cat/phone/1", "cat/webcam/2")
    assert places(*devices, known=("cat", "dog")) == dict.fromkeys(devices, (None, "cat"))


def test_folders_above_the_classes_that_a_bundle_knows_are_groups():
    layout = find_layout([("phone", "cat", "1"), ("webcam", "dog", "2")], ("cat", "dog", "owl"))
    assert layout.places == ((None, ("cat", "phone")), (None, ("dog", "webcam")))
    assert layout.notes == ("the folders in phone, webcam were taken as the classes",)


def test_a_loose_picture_beside_the_folders_above_the_classes_is_of_no_class():
    layout = find_layout([("images", "cat", "1"), ("sheet.png",)], ("cat", "dog"))
    assert layout.places == ((None, ("cat", "images")), (None, ()))


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        # Two parts of two classes, or two classes by two cameras: the names do not say which.
        (("1/cat/1", "1/dog/2", "2/cat/3", "2/dog/4"), "if these are the classes"),
        (("Lern/a/1", "Lern/b/2", "Probe/a/3", "Probe/b/4"), "if these are the classes"),
        (("labeled/cat/1", "labeled/dog/2", "unlabeled/3"), "labeled alone holds folders"),
        (("cat/train/1", "cat/test/2", "dog/3"), "test, train are not in all classes"),
    ],
)
def test_classes_that_may_be_something_else_are_said(paths, said):
    layout = find_layout([tuple(path.split("/")) for path in paths])
    assert layout.places == tuple((None, tuple(path.split("/")[:-1])) for path in paths)
    (note,) = layout.notes
    assert said in note


@pytest.mark.parametrize(
    "paths",
    [("cat/images/1", "dog/images/2"), ("cat/phone/1", "dog/2"), ("cat/a/1", "cat/b/1", "dog/c/2")],
)
def test_classes_that_can_be_nothing_else_need_no_word(paths):
    assert find_layout([tuple(path.split("/")) for path in paths]).notes == ()


def test_images_of_a_split_without_classes_are_passed_over_and_said():
    layout = find_layout(
        [("train", "cat", "1"), ("train", "dog", "2"), ("test", "3"), ("pred", "pred", "4")]
    )
    assert layout.places[2:] == (None, None)
    assert [note.split(" is ")[0] for note in layout.notes] == ["pred/", "test/"]


@pytest.mark.parametrize("part", ["test/unknown", "test/test", "Test/test_images", "val/images"])
def test_a_split_whose_only_folder_is_no_class_is_passed_over_and_said(part):
    layout = find_layout([("train", "cat", "1"), ("train", "dog", "2"), (*part.split("/"), "3")])
    assert layout.places == (("train", ("cat",)), ("train", ("dog",)), None)
    (note,) = layout.notes
    assert note.startswith(f"{part.split('/')[0]}/ is passed over with its 1 image:")


@pytest.mark.parametrize("part", ["fold", "camera ", "batch_", "Session"])
def test_numbered_parts_above_the_classes_are_groups(part):
    paths = [(f"{part}{k}", name, f"{k}.jpg") for k in (1, 2, 3) for name in ("cat", "dog")]
    layout = find_layout(paths)
    assert layout.places == tuple((None, (name, top)) for top, name, _ in paths)
    assert "were taken as groups of images" in layout.notes[0]


def test_a_copy_of_the_class_folders_among_them_is_no_class():
    layout = find_layout(
        [("cat", "1"), ("dog", "2"), ("all", "cat", "1"), ("all", "dog", "2"), ("all", "dog", "3")]
    )
    assert layout.places == ((None, ("cat",)), (None, ("dog",)), None, None, None)
    assert "all/ is passed over with its 3 images" in layout.notes[0]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("train/1", "test/2"), "--manifest"),
        (("Training/1", "Validation/2", "Testing/2"), "--manifest"),
        (("train/a/1", "train/b/1", "bus/a/1", "bus/b/1"), "name them train, val or test"),
        (("train/cat/1", "train/dog/1", "others/2"), "name them train, val or test"),
        (("train/cat/1", "train/dog/1", "test/cats/2", "test/dogs/2"), "the same classes in both"),
        (("Training/Cat/1", "Training/Dog/1", "Testing/cat/2", "Testing/dog/2"), "the same names"),
        (
            ("fold1/train/a/1", "fold1/val/a/2", "fold2/train/a/3", "fold2/val/a/4"),
            "give one of these folders alone, such as fold1",
        ),
    ],
)
def test_what_may_be_either_is_refused_with_a_way_out(paths, message):
    with pytest.raises(DataError, match=message):
        places(*paths)


@pytest.mark.parametrize("name", ["cat", "train_test", "brain", "retest", "valley", "device"])
def test_other_names_are_no_splits(name):
    assert split_role(name) is None


def put(root: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.mark.parametrize(
    "names",
    [
        ("train/images/1.jpg", "train/labels/1.txt", "valid/images/2.jpg", "valid/labels/2.txt"),
        ("images/train/1.jpg", "labels/train/1.txt", "images/val/2.jpg"),
        ("JPEGImages/1.jpg", "Annotations/1.xml"),
        ("set/JPEGImages/1.jpg", "set/Annotations/1.xml"),
        ("train/1.jpg", "train/_annotations.coco.json", "valid/2.jpg"),
    ],
)
def test_the_data_set_of_an_object_detector_is_named_as_one(tmp_path, names):
    put(tmp_path, *names)
    with pytest.raises(DataError, match="object detector") as caught:
        find_labelled(tmp_path)
    assert "--manifest" in str(caught.value)


@pytest.mark.parametrize(
    ("link", "to"), [("dog", "cat"), ("cat/more", "owl"), ("owl/more", "cat"), ("a/b", "owl")]
)
def test_a_folder_of_two_classes_by_a_link_is_refused(tmp_path, link, to):
    put(tmp_path, "a/0.jpg", "cat/1.jpg", "owl/2.jpg")
    (tmp_path / link).symlink_to(tmp_path / to)
    with pytest.raises(DataError, match=rf"{to} and .* are the same|and .*{to} are the same"):
        find_labelled(tmp_path)


def test_a_folder_of_two_splits_by_a_link_is_refused_and_two_links_in_a_class_are_not(tmp_path):
    put(tmp_path / "set", "train/cat/1.jpg", "train/owl/2.jpg", "test/cat/3.jpg")
    (tmp_path / "set/train/cat/a").symlink_to(tmp_path / "set/train/cat/b")
    put(tmp_path / "set", "train/cat/b/4.jpg")
    assert len(find_labelled(tmp_path / "set")) == 4
    (tmp_path / "set/test/owl").symlink_to(tmp_path / "set/train/owl")
    with pytest.raises(DataError, match=r"owl are the same folder by a link"):
        find_labelled(tmp_path / "set")


def test_classes_that_differ_by_case_or_a_blank_are_said(tmp_path):
    put(tmp_path, "Cat/1.jpg", "cat /2.jpg", "dog/3.jpg")
    notes: list[str] = []
    find_labelled(tmp_path, notes=notes)
    assert [n for n in notes if "'Cat' and 'cat '" in n]


def test_pictures_without_a_suffix_are_found_by_their_bytes_and_others_counted(tmp_path):
    put(tmp_path, "a/0001", "a/x.jfif", "b/photo.jpg_large", "b/shot.JPEG")
    put(tmp_path, "b/README", "b/notes.txt", "b/raw.cr2", data=b"II*\0 nothing")
    notes: list[str] = []
    names = [path.name for path in find_images(tmp_path, notes)]
    assert names == ["0001", "x.jfif", "photo.jpg_large", "shot.JPEG"]
    assert len(notes) == 1
    assert "3 other files are passed over" in notes[0]
    for kind in ("1 .txt", "1 .cr2", "1 without suffix"):
        assert kind in notes[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("file,label\na/1.jpg,cat\na/2.jpg,dog\n", ("a/1.jpg", "a/2.jpg")),
        ("image_id,label\n000bec18,cat\n001513df,dog\n", ("train/000bec18.jpg", "001513df.jpg")),
        ("id;class\n1.jpg;cat\n2.jpg;dog\n", ("x/1.jpg", "x/y/2.jpg")),
        ("Name\tCategory\n1\tcat\n2\tdog\n", ("1.png", "2.jpeg")),
        ("fileName,classLabel\n1.JPG,cat\n2.png,dog\n", ("1.jpg", "2.jpg")),
        ("class id,filepaths,labels\n0,1.jpg,cat\n1,2.jpg,dog\n", ("1.jpg", "2.jpg")),
        ("Width;Path;ClassId\n9;Train/1.png;cat\n9;Train/2.png;dog\n", ("1.png", "2.png")),
        ("file,label,,\r\n1.jpg,cat,,\r\n2.jpg,dog,,\r\n", ("1.jpg", "2.jpg")),
        ("sep=;\r\nfile;label\r\n1.jpg;cat\r\n2.jpg;dog\r\n", ("1.jpg", "2.jpg")),
        ("label,path\ncat,C:\\set\\1.jpg\ndog,C:\\set\\2.jpg\n", ("1.jpg", "2.jpg")),
    ],
)
def test_a_csv_file_is_a_full_source_of_labels(tmp_path, text, names):
    root = tmp_path / "images"
    put(root, *names)
    table = tmp_path / "labels.csv"
    table.write_text(text)
    found = find_labelled(root, table)
    assert {file.path: file.label for file in found} == {
        root / names[0]: "cat",
        root / names[1]: "dog",
    }


def test_a_csv_file_may_name_splits(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file,label,split\n1.jpg,a,training\n2.jpg,b,valid\n3.jpg,a,test\n")
    assert [file.split for file in find_labelled(tmp_path, table)] == ["train", "val", "test"]


def test_a_csv_file_beside_unlabelled_images_is_named(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "train.csv").write_text("id,breed,label\n1,x,a\n2,y,b\n")
    with pytest.raises(DataError, match=r"--manifest .*train\.csv"):
        find_labelled(tmp_path)


def test_a_csv_file_of_other_images_is_not_named(tmp_path):
    """As `evaluate --csv` writes one beside; its names hold those of these images."""
    images = tmp_path / "field"
    put(images, "1.jpg", "2.jpg")
    (tmp_path / "answers.csv").write_text("file,label,answer\na/001.jpg,a,b\nb/002.jpg,b,b\n")
    with pytest.raises(DataError) as error:
        find_labelled(images)
    assert "answers.csv" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.jpg,a\n1.jpg,b\n", "line 3: 1.jpg is 'b', but line 2 says 'a'"),
        ("file,label\nx.jpg,a\ny.jpg,b\n", "2 of its 2 rows name no image"),
        ("file,label\n01.jpg,a\n02.jpg,b\n", "'01.jpg'; the first image is '1.jpg'"),
        ("file,label\n1.jpg,a, b\n2.jpg,c\n", "line 2 has more cells than its header"),
        ("file,label\n", "a header and no rows"),
        ("picture,label\n1.jpg,a\n", "expected 'file'"),
        ("file,species\n1.jpg,a\n", r"no column of labels \(its columns: 'file', 'species'"),
        ("1.jpg,a\n2.jpg,b\n", "its columns: '1.jpg', 'a'; expected file and label"),
        ("file,label,label\n1.jpg,a,b\n", "two columns 'label'"),
        ("sep=|\nfile|label\n1.jpg|a\n", r"'sep=\|', expected sep= with a comma"),
        ("sep=;\nfile;label\n1.jpg;a\n1.jpg;b\n", "line 4: 1.jpg is 'b', but line 3"),
        ("file,label\nsame.jpg,a\n", "is the name of 2 images"),
    ],
)
def test_csv_files_that_do_not_fit_are_refused_in_one_line(tmp_path, text, message):
    put(tmp_path, "1.jpg", "2.jpg", "a/same.jpg", "b/same.jpg")
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        find_labelled(tmp_path, table)
    assert "\n" not in str(caught.value)


def test_a_csv_file_without_labels_is_the_cause_where_the_folders_have_none(tmp_path):
    put(tmp_path, "images/1.jpg", "images/2.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("id_code,diagnosis\n1,0\n2,1\n")
    with pytest.raises(DataError, match=r"no column of labels .*'diagnosis'.*rename"):
        find_labelled(tmp_path, table)


def test_one_image_beside_the_class_folders_is_to_be_moved(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/2.jpg", "overview.jpg")
    with pytest.raises(DataError, match=r"overview\.jpg is in no class folder.*move it"):
        find_labelled(tmp_path)


def test_a_split_that_is_none_and_a_file_without_labels_are_said(tmp_path):
    put(tmp_path, "a/1.jpg", "b/2.jpg", "b/3.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file,label,split\n1.jpg,a,training\n2.jpg,b,fold3\n3.jpg,b,\n")
    notes: list[str] = []
    assert [file.split for file in find_labelled(tmp_path, table, notes=notes)] == [
        "train",
        None,
        None,
    ]
    assert [n for n in notes if n.startswith("2 rows") and "'fold3'" in n]
    table.write_text("file,device\n1.jpg,phone\n")
    notes = []
    assert [file.label for file in find_labelled(tmp_path, table, notes=notes)] == ["a", "b", "b"]
    assert "has no column of labels" in notes[0]


def test_rows_without_images_and_images_without_rows_are_counted(tmp_path):
    put(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n1.jpg,a\n2.jpg,b\n2.jpg,b\n9.jpg,b\n")
    notes: list[str] = []
    assert len(find_labelled(tmp_path, table, notes=notes)) == 2
    text = "\n".join(notes)
    assert "1 image under" in text
    assert "1 row of" in text
    assert "'9.jpg'" in text
    assert "for an image that has the same label already" in text
