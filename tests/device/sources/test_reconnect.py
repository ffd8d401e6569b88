"""Cameras that come back: the decisions with a scripted clock, then real threads on cameras made of Python."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.board.camera_nodes import UsbId, find_usb, parse_usb, usb_id
from fer_edge.errors import SourceError
from fer_edge.sources import open_source, reconnect
from fer_edge.sources.live import Camera, CorruptFrame, LiveSource, StuckCamera
from fer_edge.sources.open import parse_uri
from fer_edge.sources.reconnect import ReconnectingSource, Retry
from fer_edge.sources.v4l2 import V4l2Opener
from fer_edge.types import Frame, FrameSource, RgbImage

PICTURE: RgbImage = np.zeros((48, 64, 3), dtype=np.uint8)


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_a_reason_is_said_once_and_again_after_it_was_well() -> None:
    retry = Retry(random.Random(1))
    said = [
        retry.lost(reason, now_s).say for now_s, reason in enumerate(["gone after 17 frames", "gone after 3 frames"])
    ]
    assert said == ["gone after 17 frames", None]
    assert retry.lost("busy", 3).say == "busy"
    assert retry.lost("gone after 9 frames", 4).say is None  # it was said, and nothing was well since
    assert retry.good(7.5) == "frames again after 7.5 s"
    assert retry.good(8) is None
    assert retry.lost("busy", 9).say is None  # 1.5 s is not well
    assert retry.good(10) is None  # that loss was not said either
    assert retry.good(30) is None
    assert retry.lost("busy", 31).say == "busy"


def test_delays_grow_while_it_flaps_and_begin_anew_after_it_was_well() -> None:
    retry, now_s, delays = Retry(random.Random(1)), 0.0, []
    for _ in range(8):  # a frame, gone, a frame, gone: must not become a busy loop
        retry.good(now_s)
        delays.append(retry.lost("gone", now_s + 0.01).delay_s)
        now_s += delays[-1]
    assert 15 <= delays[-1] <= 30
    assert sum(delays) > 60
    retry.good(now_s)
    assert retry.lost("gone", now_s + reconnect.STEADY_S).delay_s <= 1


@given(st.lists(st.tuples(st.sampled_from(["lost", "good"]), st.floats(0, 100)), max_size=60), st.integers())
def test_no_sequence_makes_a_busy_loop(steps: list[tuple[str, float]], seed: int) -> None:
    retry, now_s = Retry(random.Random(seed)), 0.0
    for what, later_s in steps:
        now_s += later_s
        if what == "good":
            retry.good(now_s)
        else:
            assert 0.5 <= retry.lost("gone", now_s).delay_s <= 30


# -- doing -------------------------------------------------------------------------------------------------------------


class Scripted(Camera):
    """A camera that gives ``frames`` and then does ``then``."""

    description = "scripted"

    def __init__(self, frames: int, then: Callable[[], None], size: tuple[int, int] = (48, 64)) -> None:
        self.frames, self.then, self.size, self.closed = frames, then, size, 0

    def open(self) -> None:
        pass

    def read(self) -> tuple[RgbImage, float]:
        if self.frames == 0:
            self.then()
        self.frames -= 1
        time.sleep(0.002)
        return np.zeros((*self.size, 3), np.uint8), time.monotonic()

    def close(self) -> None:
        self.closed += 1


def fail(error: Exception) -> None:
    raise error


def gone() -> None:
    fail(SourceError("source x: gone"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of 10 ms in place of seconds."""

    def delays(_: random.Random) -> Iterator[float]:
        return itertools.repeat(0.01)

    monkeypatch.setattr(reconnect, "backoff", delays)


def test_frames_go_on_over_losses_and_numbers_go_on_with_them(quick: None) -> None:
    cameras = [Scripted(5, gone), None, None, Scripted(5, gone, (96, 80)), Scripted(10**9, gone)]
    made: list[Scripted] = []
    said: list[str] = []
    waited: list[str] = []

    def opened() -> FrameSource:
        camera = cameras.pop(0)
        if camera is None:
            raise SourceError("source x: no such device")
        made.append(camera)
        return LiveSource(camera, "x")

    source = ReconnectingSource(opened, "x", said.append, waited.append)
    frames: list[Frame] = []
    for frame in source:
        frames.append(frame)
        if len(made) == 3:
            break
    source.close()
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert {frame.image.shape for frame in frames} >= {(48, 64, 3), (96, 80, 3)}  # another size is no trouble
    assert source.reconnects == 2
    assert source.waiting_for == ""
    assert "source x: gone" in waited
    assert [camera.closed for camera in made[:2]] == [1, 1]
    assert said[0] == "source x: gone; waiting for it"
    assert said[1] == "source x: no such device; waiting for it"
    assert said[2].startswith("source x: frames again after")
    assert len(said) == 3  # the second loss is the first one's reason, and it was not well in between


def test_closing_ends_a_wait_at_once() -> None:
    def opened() -> FrameSource:
        raise SourceError("source x: no such device")

    said: list[str] = []
    source = ReconnectingSource(opened, "x", said.append)
    threading.Timer(0.05, source.close).start()
    started = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - started < 0.45  # the first delay is 0.5 s at least
    assert said == ["waiting for a camera: source x: no such device"]


def test_a_device_that_appears_ends_the_wait_soon() -> None:
    there: list[str] = []
    tries: list[float] = []

    def opened() -> FrameSource:
        tries.append(time.monotonic())
        if not there:
            raise SourceError("source x: no such device")
        return LiveSource(Scripted(10**9, gone), "x")

    retry = Retry(random.Random(1))
    for _ in range(6):
        retry.lost("gone", 0)  # the delays have grown to 30 s
    source = ReconnectingSource(opened, "x", print, retry=retry, look=lambda: len(there))
    threading.Timer(0.2, lambda: there.append("video0")).start()
    next(iter(source))
    source.close()
    assert len(tries) == 2
    assert 0.6 < tries[1] - tries[0] < 10


@pytest.mark.bound("STALL_S")
def test_frames_that_stop_without_an_error_are_noticed_and_waited_for(quick: None) -> None:
    """The driver hangs for a while and lets go: the process lives, and takes the camera up again."""
    gate = threading.Event()
    cameras = [Scripted(3, lambda: (gate.wait(20), None)[1]), Scripted(10**9, gone)]
    said: list[str] = []

    def opened() -> FrameSource:
        return LiveSource(cameras.pop(0), "x", stall_s=0.1, stop_s=0.05)

    def on_wait(_: str) -> None:  # for the driver, once it has not stopped in time
        threading.Timer(0.1, gate.set).start()

    source = ReconnectingSource(opened, "x", said.append, on_wait)
    for _ in source:
        if not cameras:
            break
    source.close()
    assert "no good frame for 0.1 s" in said[0]


@pytest.mark.bound("STUCK_S")
def test_a_driver_that_hangs_for_good_ends_it(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "STUCK_S", 0.3)
    gate = threading.Event()
    waited: list[str] = []
    camera = Scripted(3, lambda: (gate.wait(20), None)[1])
    source = ReconnectingSource(lambda: LiveSource(camera, "x", stall_s=0.05, stop_s=0.05), "x", print, waited.append)
    with pytest.raises(StuckCamera, match=r"no good frame for 0\.05 s"):
        list(source)
    gate.set()
    assert waited  # a deliberate wait: the watchdog is fed meanwhile


def test_corrupt_frames_are_counted_and_skipped() -> None:
    bad = [np.zeros((0, 64, 3), np.uint8), np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.float32), None]

    class Torn(Scripted):
        def read(self) -> tuple[RgbImage, float]:
            if bad:
                return bad.pop(), time.monotonic()  # type: ignore[return-value]  # what a driver really gives
            if self.frames == 7:
                self.frames -= 1
                raise CorruptFrame("half a picture")
            return super().read()

    source = LiveSource(Torn(9, gone), "x")
    with pytest.raises(SourceError, match="gone"):
        list(source)
    assert source.corrupt == 5


def test_nothing_but_corrupt_frames_is_no_source() -> None:
    class Broken(Scripted):
        def read(self) -> tuple[RgbImage, float]:
            return np.zeros((0, 0, 3), np.uint8), time.monotonic()

    with pytest.raises(SourceError, match=r"no frame in 0\.2 s"):
        LiveSource(Broken(1, gone), "x", first_frame_s=0.2)


# -- clips -------------------------------------------------------------------------------------------------------------


def mjpeg(path: Path, sizes: list[tuple[int, int]], broken: int | None = None) -> Path:
    """Photos one after another, as a network camera's recording: 6 of each size."""
    with path.open("wb") as file:
        for number, (height, width) in enumerate(size for size in sizes for _ in range(6)):
            content = cv2.imencode(".jpg", np.full((height, width, 3), 10 * number, np.uint8))[1].tobytes()
            file.write(content[: len(content) // 2] if number == broken else content)
    return path


def test_a_clip_of_changing_resolution(tmp_path: Path) -> None:
    sizes = [(96, 128), (240, 320), (64, 64)]
    frames = list(open_source(str(mjpeg(tmp_path / "sizes.mjpeg", sizes))))
    assert [frame.image.shape[:2] for frame in frames] == [size for size in sizes for _ in range(6)]
    np.testing.assert_allclose([frame.image.mean() for frame in frames], 10 * np.arange(18), atol=4)


def test_a_damaged_frame_in_a_clip_costs_one(tmp_path: Path) -> None:
    """The damaged one takes the next with it, with which it is mistaken for one."""
    source = open_source(str(mjpeg(tmp_path / "torn.mjpeg", [(96, 128), (96, 128)], broken=5)))
    means = [round(float(frame.image.mean())) for frame in source]
    np.testing.assert_allclose(means, [0, 10, 20, 30, 40, 70, 80, 90, 100, 110], atol=4)
    assert source.corrupt == 1  # type: ignore[attr-defined]


def test_a_loop_goes_on_and_a_rate_is_kept(tmp_path: Path, clock: Clock) -> None:
    clip = mjpeg(tmp_path / "clip#1?.mjpeg", [(48, 64)])
    source, started = open_source(str(clip), loop=True, rate=100), clock.now_s
    seen = []
    for frame in source:
        seen.append(frame.index)
        if len(seen) == 20:
            source.close()
    assert clock.now_s - started == pytest.approx(19 / 100)
    assert seen == list(range(20))  # many times round


def test_a_looped_file_that_goes_away_is_said(tmp_path: Path) -> None:
    clip = mjpeg(tmp_path / "clip.mjpeg", [(48, 64)])
    frames = iter(open_source(str(clip), loop=True))
    next(frames)
    clip.unlink()
    with pytest.raises(SourceError, match="no frame can be read"):
        list(frames)


# -- USB identities ----------------------------------------------------------------------------------------------------


def plug(root: Path, number: int, port: str, vendor: str, product: str, serial: str = "") -> Path:
    """A recorded USB camera as the kernel shows it: node → interface → device."""
    device = root / f"sys/devices/pci0000:00/usb1/{port}"
    node = device / f"{port}:1.0/video4linux/video{number}"
    node.mkdir(parents=True)
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text(f"{product}\n")
    if serial:
        (device / "serial").write_text(f"{serial}\n")
    (node / "index").write_text("0\n")
    (node / "device").symlink_to(device / f"{port}:1.0")
    (root / "sys/class/video4linux").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/video4linux/video{number}").symlink_to(node)
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()
    return root / f"dev/video{number}"


def unplug(root: Path, number: int) -> None:
    (root / f"sys/class/video4linux/video{number}").unlink()
    (root / f"dev/video{number}").unlink()


def test_usb_identities(tmp_path: Path) -> None:
    assert parse_usb("usb:046D:0825") == UsbId("046d", "0825")
    assert parse_usb("usb:046d:0825:AB:12") == UsbId("046d", "0825", "AB:12")
    assert parse_usb("/dev/video0") is None
    assert str(UsbId("046d", "0825", "S1")) == "usb:046d:0825:S1"
    uri = parse_uri("v4l2://usb:046d:0825:S1?width=320&height=240")
    assert (uri.path, uri.options) == ("usb:046d:0825:S1", {"width": 320, "height": 240})
    first, second = plug(tmp_path, 2, "1-1", "046d", "0825", "S1"), plug(tmp_path, 0, "1-2", "046d", "0825", "S2")
    assert usb_id(first, tmp_path) == UsbId("046d", "0825", "S1")
    assert find_usb(UsbId("046d", "0825", "S1"), tmp_path) == first
    assert find_usb(UsbId("046d", "0825"), tmp_path) == second  # the lowest number
    assert find_usb(UsbId("046d", "0826"), tmp_path) is None


def test_a_camera_is_found_again_under_another_number(tmp_path: Path) -> None:
    plug(tmp_path, 0, "1-1", "046d", "0825", "S1")
    opener = V4l2Opener(parse_uri(f"v4l2://{tmp_path}/dev/video0"), tmp_path)
    assert opener.locate() == tmp_path / "dev/video0"
    opener.usb = usb_id(opener.locate(), tmp_path)  # as after the first frame
    unplug(tmp_path, 0)
    assert opener.locate() == tmp_path / "dev/video0"  # V4l2Camera says that it is not there
    moved = plug(tmp_path, 3, "1-4", "046d", "0825", "S1")
    assert opener.locate() == moved
    plug(tmp_path, 0, "1-3", "1234", "5678")  # another camera has taken its number
    assert opener.locate() == moved
    unplug(tmp_path, 3)
    with pytest.raises(SourceError, match="video0 is another camera now"):
        opener.locate()


def test_a_camera_named_by_its_identity(tmp_path: Path) -> None:
    opener = V4l2Opener(parse_uri("v4l2://usb:046d:0825:S1"), tmp_path)
    with pytest.raises(SourceError, match=r"no camera usb:046d:0825:S1 is plugged in \(see lsusb\)"):
        opener.locate()
    plug(tmp_path, 0, "1-1", "046d", "0825", "S2")
    with pytest.raises(SourceError, match="plugged in"):
        opener.locate()
    assert plug(tmp_path, 1, "1-2", "046d", "0825", "S1") == opener.locate()
    with pytest.raises(SourceError, match="names no device"):
        V4l2Opener(parse_uri("v4l2://usb:logitech"))
