"""Frames from folders, patterns, videos and fake cameras."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import one_line, video_frames, write_video

from edgecnn.device.capture.cameras import public_name
from edgecnn.device.capture.sources import open_source
from edgecnn.device.capture.video_file import VideoSource
from edgecnn.device.options import RunOptions
from edgecnn.errors import EdgecnnError, MissingRuntimeError, OptionError, SourceError

UNEVEN = Path(__file__).parents[1] / "data" / "video" / "uneven.mkv"


@pytest.fixture
def pictures(tmp_path):
    """Twelve numbered pictures whose grey level is their number."""
    folder = tmp_path / "ein bilder ordner é"
    folder.mkdir()
    for k in range(12):
        cv2.imwrite(str(folder / f"img_{k:04d}.png"), np.full((20, 30, 3), 10 * k, np.uint8))
    return folder


def read(source: str, **options) -> tuple[list, list[str]]:
    with open_source(source, RunOptions(**options)) as opened:
        frames = list(opened)
        return frames, opened.take_warnings()


def test_a_folder_gives_every_image_in_order_with_its_bytes_and_name(pictures):
    frames, warnings = read(str(pictures))
    assert [f.index for f in frames] == list(range(12))
    assert [f.frame_bgr[0, 0, 0] for f in frames] == [10 * k for k in range(12)]
    assert frames[3].name == "img_0003.png"
    assert frames[3].encoded == (pictures / "img_0003.png").read_bytes()
    assert warnings == []


def test_what_sessions_below_a_folder_kept_is_passed_over_with_a_note(pictures):
    images = [path.name for path in sorted(pictures.iterdir())]
    for place in ("s", "root/monday", "root/tuesday"):
        (pictures / place / "frames").mkdir(parents=True)
        (pictures / place / "session.json").write_text("{}")
        shutil.copy(pictures / images[3], pictures / place / "frames" / "00000003.png")
    shutil.copy(pictures / images[0], pictures / "root" / "own.png")  # beside them: an image
    frames, warnings = read(str(pictures))
    assert [frame.name for frame in frames] == [*images, "root/own.png"]
    (said,) = (line for line in warnings if "pictures of" in line)
    assert f"{pictures}: 3 pictures of 3 sessions in it are passed over (the first: " in said
    # A session that is itself the source is what was asked for.
    assert [frame.name for frame in read(str(pictures / "s"))[0]] == ["frames/00000003.png"]
    assert len(read(str(pictures / "s" / "frames"))[0]) == 1
    (pictures / "root" / "own.png").unlink()
    with pytest.raises(SourceError, match="holds no image but those that sessions kept") as error:
        read(str(pictures / "root"))
    assert one_line(error.value)


def test_broken_images_are_warnings_and_keep_their_number(pictures):
    good = (pictures / "img_0001.png").read_bytes()
    (pictures / "img_0002.png").write_bytes(b"")
    (pictures / "img_0005.png").write_bytes(good[: len(good) // 2])
    (pictures / "img_0007.png").write_text("no image")
    (pictures / "img_0009.png").unlink()
    (pictures / "img_0009.png").symlink_to("nowhere")
    frames, warnings = read(str(pictures))
    assert [f.index for f in frames] == [0, 1, 3, 4, 6, 8, 10, 11]
    assert len(warnings) == 4
    assert "img_0002.png" in warnings[0]


def test_a_name_that_is_no_unicode_is_read_like_any_other(tmp_path, pictures):
    name = os.fsdecode(b"k\xff.png")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / name).write_bytes((pictures / "img_0001.png").read_bytes())
    assert [f.name for f in read(str(tmp_path / "odd"))[0]] == [name]


def test_a_folder_of_broken_images_only_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match="none of 1 images can be decoded"):
        read(str(tmp_path))


def test_patterns_pick_images_by_glob_or_by_number(pictures):
    frames, _ = read(str(pictures / "*_000[0-4].png"))
    assert [f.name for f in frames] == [f"img_000{k}.png" for k in range(5)]
    (pictures / "img_10000.png").write_bytes((pictures / "img_0001.png").read_bytes())
    frames, _ = read(str(pictures / "img_%04d.png"))
    assert [f.name for f in frames][-2:] == ["img_0011.png", "img_10000.png"]
    frames, _ = read(str(pictures / "img_0004.png"))
    assert [f.name for f in frames] == ["img_0004.png"]


@pytest.mark.parametrize(("suffix", "fourcc"), [("avi", "MJPG"), ("mp4", "mp4v")])
def test_a_video_gives_every_frame_as_opencv_reads_it_with_its_time(
    tmp_path, pictures, suffix, fourcc
):
    path = write_video(tmp_path / f"v 1.{suffix}", sorted(pictures.iterdir()), fourcc, fps=10)
    frames, warnings = read(str(path))
    by_hand = video_frames(path)
    assert len(by_hand) == 12
    assert all(np.array_equal(f.frame_bgr, g) for f, g in zip(frames, by_hand, strict=True))
    assert [f.seconds for f in frames] == pytest.approx([k / 10 for k in range(12)], abs=0.02)
    assert warnings == []
    with open_source(str(path), RunOptions(fps=5.0)) as source:
        (warning,) = source.take_warnings()
    assert warning.startswith("--fps 5 replaces the times of ")
    assert "which has 10 frames a second" in warning


def test_a_cut_off_video_gives_what_it_holds_and_a_warning(tmp_path, pictures):
    path = write_video(tmp_path / "v.avi", sorted(pictures.iterdir()) * 10)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, warnings = read(str(path))
    assert 0 < len(frames) < 120
    assert "cut off" in warnings[0]


def test_a_video_of_a_varying_frame_rate_is_not_taken_for_a_cut_off_one():
    """Its 10 frames span 2 seconds at 10 a second: Matroska tells OpenCV of 20."""
    frames, warnings = read(str(UNEVEN))
    assert [f.seconds for f in frames] == pytest.approx(
        [*np.arange(5) / 10, *np.arange(15, 20) / 10]
    )
    assert warnings == []


def test_a_pipe_that_only_this_process_has_is_refused():
    """Its frames would never come: cameras and streams are read in a process of their own."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(SourceError, match="a pipe without a name, expected a named one"):
            open_source(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        os.close(writer)


def test_rgb_sources_are_turned_to_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.uint8([[[1, 2, 3]]]))
    assert read(str(tmp_path))[0][0].frame_bgr.tolist() == [[[1, 2, 3]]]
    assert read(str(tmp_path), color="rgb")[0][0].frame_bgr.tolist() == [[[3, 2, 1]]]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", "can't open camera 0: "),
        ("/dev/video7", "can't open camera 7: "),
        ("nothing.mp4", "does not exist; expected a camera index"),
        ("no such folder/*.jpg", "no image matches"),
        ("img_%03d.jpg", "no image matches"),
        ("ftp://host/x", "scheme 'ftp', expected one of http"),
        ("videotestsrc ! appsink", "GStreamer"),
        ("rtsp://me:secret@127.0.0.1:9/cam", "no video from rtsp://me:***@127.0.0.1:9/cam"),
        ("http://127.0.0.1:9/cam", "no video from http"),
        (os.fsdecode(b"film\xff.mp4"), "is not UTF-8 text; rename it"),
        ("x" * 5000, "File name too long"),
        ("", "source is empty; expected a camera index"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(source, expected):
    with pytest.raises(EdgecnnError) as error:
        read(source, timeout_s=1.0, first_s=0.1)
    assert expected in one_line(error.value)


@pytest.mark.parametrize("content", [b"", b"not a video", bytes(range(256)) * 40])
def test_a_file_that_is_no_video_is_one_line(tmp_path, content):
    path = tmp_path / "clip001.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError) as error:
        read(str(path))
    assert "clip001.mp4" in one_line(error.value)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="holds no image file"):
        read(str(tmp_path))


def test_opencv_and_ffmpeg_add_nothing_to_the_one_line_and_may_speak_again_later(tmp_path):
    """In a process of its own: FFMPEG's level is read once, when OpenCV first uses it."""
    (tmp_path / "clip001.mp4").write_bytes(b"not a video")
    code = (
        "import cv2\n"
        "from edgecnn.device.capture.sources import open_source\n"
        "from edgecnn.device.options import RunOptions\n"
        "from edgecnn.errors import SourceError\n"
        "module = cv2 if hasattr(cv2, 'setLogLevel') else cv2.utils.logging\n"
        "before = module.getLogLevel()\n"
        "for source in '3', 'clip001.mp4', 'http://127.0.0.1:9/cam', 'rtsp://127.0.0.1:9/cam':\n"
        "    try:\n        list(open_source(source, RunOptions(first_s=0.1, timeout_s=1)))\n"
        "    except SourceError:\n        print(source)\n"
        "assert module.getLogLevel() == before != 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr == ""


def test_without_picamera2_the_line_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "picamera2.py").write_text("raise ImportError('no libcamera')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingRuntimeError, match="apt install python3-picamera2") as error:
        read("picamera2")
    assert "--system-site-packages" in one_line(error.value)


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("rtsp://me:secret@10.0.0.5/cam", "rtsp://me:***@10.0.0.5/cam"),
        ("rtsp://me:s@c/r?et@10.0.0.5/cam", "rtsp://me:***@10.0.0.5/cam"),
        ("http://10.0.0.5/cam?user=admin&pwd=secret", "http://10.0.0.5/cam?user=admin&pwd=***"),
        ("http://10.0.0.5/cam?Token=secret;size=2", "http://10.0.0.5/cam?Token=***;size=2"),
        ("http://10.0.0.5:81/c?loginpas=secret&n=a@b", "http://10.0.0.5:***@b"),
        (
            "rtspsrc location=rtsp://a/b user-pw=secret ! x",
            "rtspsrc location=rtsp://a/b user-pw=*** ! x",
        ),
        ("film.mp4", "film.mp4"),
        ("http://10.0.0.5:8080/cam", "http://10.0.0.5:8080/cam"),
    ],
)
def test_secrets_of_an_address_are_never_shown(source, public):
    assert public_name(source) == public
    assert "secret" not in public_name(source)


@pytest.mark.parametrize(
    ("options", "period"),
    [({"max_fps": 2.0}, 0.5), ({"every": "60s"}, 60.0), ({"every": "1.5m"}, 90.0), ({}, 0.0)],
)
def test_a_rate_is_a_period(options, period):
    assert RunOptions(**options).period_s == period


@pytest.mark.parametrize("every", ["", "0s", "soon", "-1s", "10 weeks"])
def test_a_time_that_is_none_is_one_line(every):
    with pytest.raises(OptionError, match="expected a time such as 60s"):
        RunOptions(every=every)


def test_a_rate_takes_frames_of_a_video_by_its_own_clock(tmp_path, pictures):
    path = write_video(tmp_path / "v.avi", sorted(pictures.iterdir()) * 5, fps=10)
    frames, _ = read(str(path), max_fps=2.0)
    assert [f.index for f in frames] == list(range(0, 60, 5))


@pytest.mark.parametrize("fps", [3.0, 10.0, 25.0, 29.97, 30.0])
def test_a_rate_as_high_as_that_of_the_video_takes_every_frame(tmp_path, pictures, fps):
    path = write_video(tmp_path / "v.avi", sorted(pictures.iterdir()) * 40, fps=fps)
    every, _ = read(str(path))
    assert len(every) > 400
    for rate in ({"max_fps": fps}, {"every": f"{1 / fps:.9f}s"}):
        assert len(read(str(path), **rate)[0]) == len(every)


def test_after_a_gap_in_the_times_of_a_video_a_rate_holds(tmp_path, pictures, monkeypatch):
    path = write_video(tmp_path / "v.avi", sorted(pictures.iterdir()) * 5, fps=10)

    def late(_: VideoSource, index: int) -> float:
        return index / 10 + (30.0 if index > 20 else 0.0)

    monkeypatch.setattr(VideoSource, "_seconds", late)
    assert [f.index for f in read(str(path), max_fps=2.0)[0]][5:] == [21, *range(25, 60, 5)]
