"""Sources: URIs, clips, folders of photos, drawn faces, absent cameras."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from clock import Clock
from device_helpers import THRESHOLDS
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.detectors.blazeface import BlazeFace
from fer_edge.errors import SourceError
from fer_edge.sources import open_source, parse_uri


@pytest.mark.parametrize(
    ("text", "scheme", "path", "options"),
    [
        ("clip.mp4", "file", "clip.mp4", {}),
        ("/a/b c.mp4", "file", "/a/b c.mp4", {}),
        ("/a/100%25 real?.mp4", "file", "/a/100%25 real?.mp4", {}),  # a plain path is taken as it is
        ("file:///a/b%20c.mp4", "file", "/a/b c.mp4", {}),
        ("file://clip.mp4", "file", "clip.mp4", {}),
        ("file:///a/what?#1.mp4", "file", "/a/what?#1.mp4", {}),
        ("images://photos/of me", "images", "photos/of me", {}),
        ("images:///[2024] x", "images", "/[2024] x", {}),
        ("images://[2024", "images", "[2024", {}),
        ("v4l2:///dev/video0?width=1280&height=720", "v4l2", "/dev/video0", {"width": 1280, "height": 720}),
        ("/dev/video77", "v4l2", "/dev/video77", {}),  # also while it is not plugged in
        ("csi://", "csi", "", {}),
        ("csi://0?width=640&height=480&fps=30", "csi", "0", {"width": 640, "height": 480, "fps": 30}),
        ("argus://1", "argus", "1", {}),
        ("v4l2:///dev/v4l/by-id/usb-046d_0825-video-index0", "v4l2", "/dev/v4l/by-id/usb-046d_0825-video-index0", {}),
        ("synthetic://", "synthetic", "", {}),
        ("synthetic://?n=5&faces=2", "synthetic", "", {"n": 5, "faces": 2}),
    ],
)
def test_uris(text: str, scheme: str, path: str, options: dict[str, int]) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.path, uri.options) == (scheme, path, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://host/clip.mp4", "unknown scheme 'ftp'"),
        ("rtsp://", "names no host"),
        ("file://", "names no path"),
        ("", "unknown scheme"),
        ("v4l2://", "names no path"),
        ("synthetic://?speed=3", "unknown option 'speed'"),
        ("synthetic://?n=-1", "whole number above 0"),
        ("synthetic://?n=", "whole number above 0"),
        ("synthetic://?n=1e9", "whole number above 0"),
        (f"synthetic://?n={'9' * 5000}", "whole number above 0"),  # more digits than Python reads
    ],
)
def test_bad_uris(text: str, said: str) -> None:
    with pytest.raises(SourceError) as error:
        parse_uri(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30), st.sampled_from(["", "file://", "v4l2://", "synthetic://", "images://"]))
def test_a_uri_is_read_or_refused_in_one_line(text: str, scheme: str) -> None:
    said = ""
    try:
        parse_uri(scheme + text)
    except SourceError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames at 20 per second, each of a brightness of its own."""
    path = tmp_path_factory.mktemp("clip") / "grays.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20, (64, 48))
    assert writer.isOpened()
    for i in range(30):
        writer.write(np.full((48, 64, 3), (0, 0, 40 + 7 * i), dtype=np.uint8))  # BGR: red
    writer.release()
    return path


def test_a_clip_gives_every_frame_in_order(clip: Path) -> None:
    frames = []
    for frame in open_source(str(clip)):
        time.sleep(0.15 if frame.index < 3 else 0)  # a slow reader loses nothing
        frames.append(frame)
    assert [frame.index for frame in frames] == list(range(30))
    red = [frame.image[:, :, 0].mean() for frame in frames]
    np.testing.assert_allclose(red, 40 + 7 * np.arange(30), atol=4)
    assert max(frame.image[:, :, 1:].mean() for frame in frames) < 25  # RGB: nothing in green and blue
    assert [frame.t_capture_s for frame in frames] == sorted(frame.t_capture_s for frame in frames)


def test_real_time_drops_what_comes_too_late(clip: Path, clock: Clock) -> None:
    """30 frames at 20 per second, each read in 0.123 s; one that is later than the next one's time is lost."""
    source, seen, started = open_source(str(clip), realtime=True), [], clock.now_s
    for frame in source:
        assert clock.now_s - started >= frame.index / 20 - 1e-6, "not before its time"
        assert clock.now_s - started <= frame.index / 20 + 0.05 + 1e-6, "not after the next one's"
        seen.append(frame.index)
        clock.sleep(0.123)
    assert seen == [0, 2, 4, 7, 9, 12, 14, 17, 19, 22, 24, 27, 29]
    assert source.dropped == 30 - len(seen)


def test_real_time_waits_where_reading_is_quick(clip: Path, clock: Clock) -> None:
    source, started = open_source(str(clip), realtime=True), clock.now_s
    assert [frame.index for frame in source] == list(range(30))
    assert clock.now_s - started == pytest.approx(29 / 20, abs=0.01)
    assert source.dropped == 0


def test_a_closed_source_ends(clip: Path) -> None:
    for text in (str(clip), "synthetic://"):
        source = open_source(text)
        seen = 0
        for _ in source:
            seen += 1
            if seen == 3:
                source.close()
        assert seen == 3


MP4_HEAD = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(68)


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 100, bytes(range(256)) * 40, MP4_HEAD])
@pytest.mark.parametrize("name", ["clip.mp4", "clip_001.jpg", "clip"])
def test_not_a_clip(tmp_path: Path, content: bytes, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="no frame can be read"):
        open_source(str(tmp_path / name))
    assert capfd.readouterr().err == ""  # one line is enough, and it is the error's


def test_no_such_clip_folder_or_camera(tmp_path: Path) -> None:
    for text, said in (
        (f"{tmp_path}/none.mp4", "no such file"),
        (str(tmp_path), "no such file"),
        (f"images://{tmp_path}/none", "no such folder"),
        (f"images://{tmp_path}", "no photos in it"),
        (f"v4l2://{tmp_path}/video0", "no such device"),
    ):
        with pytest.raises(SourceError, match=said):
            open_source(text)


def test_a_file_that_is_no_camera(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"x")
    started = time.monotonic()
    with pytest.raises(SourceError, match="not a V4L2 device"):
        open_source(f"v4l2://{tmp_path}/video0")
    assert time.monotonic() - started < 2


def test_a_folder_of_photos_is_sorted_and_bad_ones_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, value in (("b.png", 20), ("a.jpg", 10), ("c.PNG", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), value, dtype=np.uint8))
    (tmp_path / "bad.jpg").write_text("no picture")
    source = open_source(f"images://{tmp_path}")
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [Path(frame.source).name for frame in frames] == ["a.jpg", "b.png", "c.PNG"]
    assert [round(frame.image.mean()) for frame in frames] == [10, 20, 30]
    assert source.dropped == 1  # type: ignore[attr-defined]
    assert len(caplog.messages) == 1
    assert "bad.jpg" in caplog.messages[0]


def test_drawn_faces_are_the_same_again_and_the_detector_finds_them(blazeface: BlazeFace) -> None:
    text = "synthetic://?n=12&faces=2&seed=5&width=640&height=360"
    first, second = list(open_source(text)), list(open_source(text))
    assert len(first) == 12
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.image.shape == (360, 640, 3)
    assert THRESHOLDS["score"] == blazeface.score
    assert [len(blazeface.detect(frame.image)) for frame in first] == [2] * 12
    other = next(iter(open_source("synthetic://?n=1&faces=2&seed=6&width=640&height=360")))
    assert (other.image != first[0].image).any()


@pytest.mark.parametrize("seed", range(1, 6))
def test_one_drawn_face_at_any_moment(blazeface: BlazeFace, seed: int) -> None:
    frames = open_source(f"synthetic://?n=300&fps=10&seed={seed}")
    found = [len(blazeface.detect(frame.image)) for frame in frames if frame.index % 20 == 0]
    assert found == [1] * 15


def test_real_time_drawing_is_paced(clock: Clock) -> None:
    started = clock.now_s
    assert len(list(open_source("synthetic://?n=6&fps=20&width=64&height=64", realtime=True))) == 6
    assert clock.now_s - started == pytest.approx(5 / 20)
