"""The command line: statuses, one line for every wrong input, and JSON that is only JSON."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import seal
from edgecnn.quiet import ResultStream


def assert_one_line(result: tuple[int, str, str], *words: str) -> None:
    """Status 2, nothing on stdout, one line on stderr that holds the words."""
    status, out, err = result
    assert status == 2, (out, err)
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("edgecnn ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], lines[0]


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ---- every command, on the real thing ------------------------------------------------------


def test_help_lists_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from edgecnn.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'tensorflow', 'keras', 'cv2', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("train", "export", "evaluate", "benchmark", "run", "audit", "doctor", "demo"):
        assert command in done.stdout


def test_evaluate_groups_by_a_column_of_a_manifest(edgecnn, digits_bundle, digits_field, tmp_path):
    names = sorted(p.relative_to(digits_field).as_posix() for p in digits_field.rglob("*.png"))
    rows = (f"{name},{'odd' if k % 2 else 'even'}\n" for k, name in enumerate(names))
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,site\n" + "".join(rows))
    args = ("--manifest", manifest, "--group", "site", "--json")
    status, out, _ = edgecnn("evaluate", digits_bundle, digits_field, *args)
    assert status == 0
    groups = json.loads(out)["per_group"]
    assert {name: tally["total"] for name, tally in groups.items()} == {"even": 249, "odd": 248}


def test_evaluate_prints_the_json_that_others_rely_on(edgecnn, digits_bundle, digits_field):
    status, out, _ = edgecnn("evaluate", digits_bundle, digits_field, "--json")
    result = json.loads(out)
    assert status == 0
    assert result["accuracy"]["total"] == 497
    assert 0 <= result["accuracy"]["low"] <= result["accuracy"]["accuracy"]
    assert set(result) >= {"accuracy", "per_class", "per_group", "artifact"}
    assert sum(t["correct"] for t in result["per_class"].values()) == result["accuracy"]["correct"]


def test_run_then_audit_tell_the_same_live_accuracy(edgecnn, digits_bundle, digits_field, tmp_path):
    session = tmp_path / "session"
    status, out, _ = edgecnn(
        "run", digits_bundle, "--source", digits_field, "--truth", "folder", "--log", session,
        "--json",
    )  # fmt: skip
    ran = json.loads(out)
    assert status == 0
    assert ran["frames"] == ran["live"]["total"] == 497
    status, out, _ = edgecnn("audit", session, "--bundle", digits_bundle, "--json")
    audited = json.loads(out)
    assert status == 0
    assert audited["live"]["correct"] == ran["live"]["correct"]
    assert audited["gap_points"] == pytest.approx(ran["gap_points"], abs=0.1)
    points = sum(step["points"] for step in audited["ledger"])
    assert points + audited["residual_points"] == pytest.approx(audited["gap_points"], abs=0.1)


def test_a_gap_wider_than_allowed_is_status_1(edgecnn, digits_bundle, digits_field, tmp_path):
    session = tmp_path / "session"
    swapped = ("run", digits_bundle, "-s", digits_field, "--truth", "folder", "--log", session)
    assert edgecnn(*swapped)[0] == 0
    assert edgecnn("audit", session, "--max-gap", "-100")[0] == 1
    assert edgecnn("audit", session, "--max-gap", "100")[0] == 0


def test_a_drop_larger_than_allowed_is_status_1(edgecnn, digits_model, digits_folder, tmp_path):
    import keras

    # The same softmax; but integers can't tell apart logits that all lie around 1000.
    model = Path(shutil.copytree(digits_model, tmp_path / "model"))
    network = keras.saving.load_model(model / "model.keras", compile=False)
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel, bias + 1000])
    network.save(model / "model.keras")

    out = tmp_path / "coarse.edgecnn"
    args = ("--formats", "tflite-full-integer", "--calibration", digits_folder, "-o", out)
    args = (*args, "--max-drop", "0.5", "--json")
    status, _, error = edgecnn("export", model, *args)
    assert status == 1, error
    assert json.loads((out / "card.json").read_text())["artifacts"][0]["ok"] is False
    status, text, _ = edgecnn("export", digits_model, *args)
    assert status == 0
    assert json.loads(text)["artifacts"][0]["ok"] is True


# ---- wrong images ---------------------------------------------------------------------------


@pytest.fixture
def odd_images(tmp_path) -> Path:
    """Two classes of good images, and one of each thing that people really have in folders."""
    rng = np.random.default_rng(0)
    root = tmp_path / "odd images ü"
    for label in ("0", "1"):
        (root / label).mkdir(parents=True)
        for k in range(12):
            image = rng.integers(0, 256, (32, 24, 3), np.uint8)
            cv2.imwrite(str(root / label / f"good {k}.png"), image)
    one = root / "1"
    grey16 = rng.integers(0, 65536, (32, 24), np.uint16)
    cv2.imwrite(str(one / "sixteen bit.png"), grey16)
    cv2.imwrite(str(one / "grey.png"), (grey16 >> 8).astype(np.uint8))
    cv2.imwrite(str(one / "alpha.png"), rng.integers(0, 256, (32, 24, 4), np.uint8))
    cv2.imwrite(str(one / "large.jpg"), np.zeros((3000, 4000, 3), np.uint8))
    cv2.imwrite(str(one / "日本語 ñ.jpg"), image)
    whole = (one / "good 0.png").read_bytes()
    (one / "zero.png").write_bytes(b"")
    (one / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (one / "text.jpg").write_text("not an image")
    (one / "notes.txt").write_text("not even named like one")
    (one / "loop").symlink_to(root, target_is_directory=True)
    (one / "dangling.png").symlink_to("nowhere.png")
    return root


def test_evaluate_counts_odd_images_and_names_the_broken_ones(edgecnn, digits_bundle, odd_images):
    status, out, _ = edgecnn("evaluate", digits_bundle, odd_images, "--json")
    result = json.loads(out)
    assert status == 0
    skipped = json.dumps(result["skipped"])
    for name in ("zero.png", "truncated.png", "text.jpg"):
        assert name in skipped
    assert result["accuracy"]["total"] == 24 + 5


@pytest.mark.parametrize(
    "command",
    [
        ("train", "DATA", "-o", "OUT"),
        ("export", "MODEL", "--calibration", "DATA", "-o", "OUT"),
        ("evaluate", "BUNDLE", "DATA"),
        ("benchmark", "BUNDLE", "DATA"),
        ("run", "BUNDLE", "--source", "DATA"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("data", ["empty", "absent", "a file", "only broken"])
def test_data_that_is_no_data(edgecnn, digits_model, digits_bundle, tmp_path, command, data):
    place = tmp_path / "data"
    if data == "a file":
        place.write_text("hello")
    elif data != "absent":
        place.mkdir()
    if data == "only broken":
        for label in ("0", "1"):
            (place / label).mkdir()
            for k in range(20):
                (place / label / f"{k}.png").write_bytes(b"")
    out = tmp_path / "out"
    names = {"DATA": place, "MODEL": digits_model, "BUNDLE": digits_bundle, "OUT": out}
    before = set(leftovers(tmp_path))
    assert_one_line(edgecnn(*(names.get(word, word) for word in command)), str(place))
    assert set(leftovers(tmp_path)) == before


def test_one_class_is_not_trained_on(edgecnn, digits_folder, tmp_path):
    shutil.copytree(digits_folder / "3", tmp_path / "lab" / "3")
    assert_one_line(edgecnn("train", tmp_path / "lab", "-o", tmp_path / "m"), "one class", "'3'")


def test_a_class_that_the_bundle_does_not_know(edgecnn, digits_bundle, digits_field, tmp_path):
    shutil.copytree(digits_field / "3", tmp_path / "data" / "three")
    result = edgecnn("evaluate", digits_bundle, tmp_path / "data")
    assert_one_line(result, "'three'")


# ---- wrong places to write ------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_folder_of_somebodys_own_is_not_replaced(
    edgecnn, digits_folder, digits_model, digits_field, tmp_path, command
):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    source = {"train": (digits_folder,), "export": (digits_model, "--calibration", digits_field)}
    assert_one_line(edgecnn(command, *source[command], "-o", mine), str(mine))
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_session_is_not_written_over(edgecnn, digits_bundle, digits_field, tmp_path):
    args = ("run", digits_bundle, "--source", digits_field, "--log", tmp_path / "session")
    assert edgecnn(*args, "--max-frames", 3)[0] == 0
    before = (tmp_path / "session" / "events.jsonl").read_bytes()
    assert_one_line(edgecnn(*args), "session")
    assert (tmp_path / "session" / "events.jsonl").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_nothing_half_written(edgecnn, digits_model, digits_field, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", small]).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        out = small / "x.edgecnn"
        args = ("--calibration", digits_field, "-o", out, "--formats", "tflite-float32")
        assert_one_line(edgecnn("export", digits_model, *args), "No space left")
        assert leftovers(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_place_for_temporary_files_is_one_line(edgecnn, tmp_path, two_classes, monkeypatch):
    def frames_on_a_full_disk(*_: object) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"a frame")

    (tmp_path / "film.mp4").write_bytes(b"")
    monkeypatch.setattr("edgecnn.images.video_frames._take_frames", frames_on_a_full_disk)
    args = ("--field", tmp_path / "film.mp4")
    assert_one_line(edgecnn("inspect", two_classes, *args), "No space left", "TMPDIR")


def test_who_waits_for_the_reader_of_stdout_still_hears_a_signal():
    reader, writer = os.pipe()
    results, line = ResultStream(writer), "x" * 4096

    def write_on() -> None:
        with suppress(OSError):  # its reader is gone
            while True:
                results.write(line)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        while select.select([], [writer], [], 0)[1]:
            time.sleep(0.001)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 it may come at once
            timer.start()
            results.write(line)
    finally:
        os.close(reader)
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(writer)
    with pytest.raises(BrokenPipeError, match="stdout"):
        results.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_below_stdout_is_one_line_and_a_closed_one_is_no_fault(tmp_path):
    command = [sys.executable, "-m", "edgecnn", "service", "install", str(PAST_BUNDLE)]
    shell = f"{shlex.join([*command, '-s', '0', '--print-only'])}"
    full = subprocess.run(f"{shell} > /dev/full", shell=True, capture_output=True, text=True)
    assert_one_line((full.returncode, full.stdout, full.stderr), "can't write stdout", "No space")
    small = f"ulimit -f 0; PYTHONDONTWRITEBYTECODE=1 {shell} > {tmp_path / 'small'}"
    full = subprocess.run(small, shell=True, capture_output=True, text=True)
    assert_one_line((full.returncode, full.stdout, full.stderr), "can't write stdout", "too large")
    closed = subprocess.run(f"{shell} >&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")


@pytest.mark.parametrize("command", ["audit", "label", "inspect", "run --log-root"])
def test_a_path_that_the_system_does_not_look_at_is_one_line(
    edgecnn, digits_bundle, digits_field, command
):
    """So are folders that others may not enter, such as those of a service; root may."""
    name, _, option = command.partition(" ")
    place = "x" * 300
    args = (digits_bundle, "--source", digits_field, option, place) if option else (place,)
    assert_one_line(edgecnn(name, *args), "File name too long")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up the rights of root needs root")
def test_a_folder_that_others_may_not_enter_is_one_line(tmp_path):
    shut = tmp_path / "shut"
    (shut / "session").mkdir(parents=True)
    shut.chmod(0)
    few = "-dac_override,-dac_read_search"
    for place in (shut, shut / "session"):
        audit = [sys.executable, "-m", "edgecnn", "audit", place]
        command = ["setpriv", f"--bounding-set={few}", f"--inh-caps={few}", *audit]
        done = subprocess.run(command, capture_output=True, text=True)
        assert_one_line((done.returncode, done.stdout, done.stderr), "Permission denied")
    shut.chmod(0o700)


# ---- wrong bundles --------------------------------------------------------------------------


@pytest.fixture
def copied_bundle(digits_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(digits_bundle, tmp_path / "copy.edgecnn"))


def edit_card(bundle: Path, **changes: object) -> None:
    card = json.loads((bundle / "card.json").read_text())
    card.update(changes)
    (bundle / "card.json").write_text(json.dumps(card))


def test_a_card_edited_by_hand_is_refused(edgecnn, copied_bundle, digits_field):
    edit_card(copied_bundle, name="mine")
    assert_one_line(edgecnn("evaluate", copied_bundle, digits_field), "card.json", "SHA-256")


def test_a_changed_model_is_refused(edgecnn, copied_bundle, digits_field):
    model = copied_bundle / "model_full_integer_quant.tflite"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert_one_line(edgecnn("evaluate", copied_bundle, digits_field), model.name)


def test_a_resealed_card_with_another_interpolation_fails_its_golden_frames(
    edgecnn, copied_bundle, digits_field
):
    card = json.loads((copied_bundle / "card.json").read_text())
    edit_card(copied_bundle, input={**card["input"], "interpolation": "nearest"})
    seal(copied_bundle)
    assert_one_line(edgecnn("run", copied_bundle, "--source", digits_field), "golden")
    status, out, _ = edgecnn("doctor", copied_bundle, "--json")
    assert status == 1
    assert any(c["status"] == "fail" and "golden" in str(c) for c in json.loads(out)["checks"])


@pytest.mark.parametrize("what", ["absent", "an empty folder", "a file", "another format"])
def test_what_is_no_bundle(edgecnn, copied_bundle, digits_field, tmp_path, what):
    place = tmp_path / "b.edgecnn"
    if what == "an empty folder":
        place.mkdir()
    elif what == "a file":
        place.write_text("hello")
    elif what == "another format":
        edit_card(copied_bundle, format=99)
        seal(copied_bundle)
        place = copied_bundle
    for args in (("evaluate", place, digits_field), ("run", place, "--source", digits_field)):
        assert_one_line(edgecnn(*args), str(place) if what != "another format" else "format 99")


def test_an_artifact_that_the_bundle_has_not(edgecnn, digits_bundle, digits_field):
    result = edgecnn("evaluate", digits_bundle, digits_field, "--artifact", "int4")
    assert_one_line(result, "'int4'", "model_float32.tflite")


# ---- wrong sources and truths ---------------------------------------------------------------


@pytest.mark.parametrize("source", ["7", "/dev/video7", "nowhere.mp4", "no/*.jpg", "ftp://x/y"])
def test_a_source_that_is_not_there(edgecnn, digits_bundle, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "session"
    assert_one_line(edgecnn("run", digits_bundle, "--source", source, "--log", log), source[-1])
    assert not log.exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("frame,label\n0,elephant\n", "elephant"),
        ("first,last,label\n0,9,1\n5,12,2\n", "line 3"),
        ("first,last,label\n9,0,1\n", "line 2"),
        ("frame,label\nx,1\n", "line 2"),
        ("a,b\n1,2\n", "label"),
        ("", "empty"),
    ],
)
def test_a_truth_csv_that_contradicts(edgecnn, digits_bundle, digits_field, tmp_path, text, word):
    truth = tmp_path / "truth.csv"
    truth.write_text(text)
    result = edgecnn("run", digits_bundle, "--source", digits_field, "--truth", truth)
    assert_one_line(result, str(truth), word)


def test_what_is_no_session(edgecnn, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_line(edgecnn("audit", tmp_path / "empty"), "session.json")
    assert_one_line(edgecnn("audit", tmp_path / "absent"), "absent")


# A command that is interrupted beside a library which aborts the process when it ends, as C++ does
# with a thread that it did not join.
ABORTING = """
import atexit, ctypes, sys, types
from edgecnn.__main__ import main

def stopped(*_, **__):
    raise KeyboardInterrupt

if sys.argv[1] == "inspect":
    libc = ctypes.CDLL(None)
    libc.on_exit(libc.abort, None)
    atexit.register(print, "temporary files are removed", file=sys.stderr)
    sys.modules["edgecnn.inspect.inspect"] = types.SimpleNamespace(inspect=stopped)
else:
    sys.modules["edgecnn.cli.main"] = types.SimpleNamespace(main=stopped)
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="on_exit is of glibc")
@pytest.mark.parametrize("when", ["inspect", "inspect 2>&1 | tee log", "--help"])
def test_an_interruption_is_status_130_whatever_libraries_do_and_before_a_command_too(when):
    words = [sys.executable, "-c", ABORTING, when.split()[0], "lab"]
    unread, gone = os.pipe()
    os.close(unread)  # Ctrl-C ends `tee` too
    stderr = gone if "| tee" in when else subprocess.PIPE
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=stderr, text=True)
    os.close(gone)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    if done.stderr is None:
        return
    assert "Traceback" not in done.stderr
    if when == "inspect":
        assert done.stderr.splitlines() == [
            "edgecnn inspect: interrupted; nothing half-written is left",
            "temporary files are removed",
        ]
    else:
        assert done.stderr == "edgecnn: interrupted\n"
