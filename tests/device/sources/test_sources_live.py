"""A live source on cameras made of Python: newest wins, errors surface, closing ends it at once, nothing hangs."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from fer_edge.daemon.loop import run
from fer_edge.daemon.signals import ended_by_sigterm
from fer_edge.errors import SourceError
from fer_edge.pipeline import Pipeline
from fer_edge.sources.live import Camera, LiveSource, StuckCamera, end_all
from fer_edge.types import Frame, FrameReading, RgbImage

PICTURE: RgbImage = np.zeros((4, 6, 3), dtype=np.uint8)


class Scripted(Camera):
    """A camera that does what it is told at each read; ``gate`` lets a test pace it without sleeping."""

    description = "scripted"

    def __init__(self, at_read: Callable[[int], None] = lambda _: None, at_open: Callable[[], None] = lambda: None):
        self.at_read, self.at_open = at_read, at_open
        self.reads = 0
        self.closed_in: list[str] = []

    def open(self) -> None:
        self.at_open()

    def read(self) -> tuple[RgbImage, float]:
        self.at_read(self.reads)
        self.reads += 1
        return PICTURE, 1000.0 + self.reads

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


def fail(error: Exception) -> None:
    raise error


def no_capture_threads() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("capture")]


def test_the_reader_gets_the_newest_and_the_rest_is_counted() -> None:
    enough, go = threading.Event(), threading.Event()

    def at_read(n: int) -> None:
        if n == 50:
            enough.set()
            go.wait(10)

    camera = Scripted(at_read)
    source = LiveSource(camera, "csi://0")
    assert enough.wait(10)
    frames = iter(source)
    first = next(frames)
    assert (first.index, first.t_capture_s, first.source) == (49, 1050.0, "csi://0")
    assert source.dropped == 49
    go.set()
    assert next(frames).index > 49
    source.close()
    assert list(frames) == []
    assert camera.reads - 3 <= source.dropped <= camera.reads - 2  # the one being read at the end is not counted
    assert camera.closed_in == ["capture csi://0"]
    assert no_capture_threads()


def test_an_error_surfaces_after_the_last_frame() -> None:
    camera = Scripted(lambda n: fail(SourceError("source csi://0: lost")) if n == 3 else None)
    source = LiveSource(camera, "csi://0")
    got: list[int] = []
    with pytest.raises(SourceError, match="lost"):
        got.extend(frame.index for frame in source)
    assert got[-1:] == [2]  # the newest frame before the loss is still read
    assert camera.closed_in
    assert no_capture_threads()


def test_what_a_library_raises_surfaces_as_a_source_error() -> None:
    cause = RuntimeError("two\nlines")
    with pytest.raises(SourceError, match=r"^source csi://0: RuntimeError: two lines$") as error:
        list(LiveSource(Scripted(lambda n: fail(cause) if n else None), "csi://0"))
    assert error.value.__cause__ is cause


@pytest.mark.parametrize("error", [SourceError("gone"), RuntimeError("gone"), None])
def test_a_lost_camera_and_its_frames_go_at_once(error: Exception | None) -> None:
    """Not when Python looks for cycles next: that may be hours later, and each loss kept a frame."""

    class Fresh(Scripted):
        def read(self) -> tuple[RgbImage, float]:
            _, time_s = super().read()
            return PICTURE.copy(), time_s

    def at_read(n: int) -> None:
        if n == 2 and error is not None:
            raise type(error)(*error.args)

    def lose() -> list[weakref.ref[object]]:
        camera = Fresh(at_read)
        source = LiveSource(camera, "csi://0")
        frames = iter(source)
        seen: list[weakref.ref[object]] = [weakref.ref(camera), weakref.ref(source), weakref.ref(next(frames).image)]
        if error is None:
            source.close()
        with contextlib.suppress(SourceError):
            for frame in frames:
                seen.append(weakref.ref(frame.image))
        return seen

    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps what is logged, with its traceback
    try:
        left = lose()
        assert [type(found()).__name__ for found in left if found() is not None] == []
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def test_a_camera_that_does_not_open() -> None:
    camera = Scripted(at_open=lambda: fail(SourceError("source x: busy")))
    started = time.monotonic()
    with pytest.raises(SourceError, match="busy"):
        LiveSource(camera, "x", first_frame_s=60)
    assert time.monotonic() - started < 30  # it is told at once, not when the time for the first frame is over
    assert camera.closed_in == ["capture x"]
    assert no_capture_threads()


@pytest.mark.bound("FIRST_FRAME_S", "ARGUS_FIRST_FRAME_S", "STOP_S")
def test_no_first_frame_in_time() -> None:
    gate = threading.Event()
    camera = Scripted(lambda _: (gate.wait(10), None)[1])
    with pytest.raises(StuckCamera, match=r"no frame in 0.05 s"):
        LiveSource(camera, "x", first_frame_s=0.05, stop_s=0.05)
    assert end_all(), "its thread hangs: only a new process can try again"
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "capture x":
            thread.join(10)
    assert camera.closed_in == ["capture x"]  # it is closed when it comes back
    assert not end_all()


def test_close_from_another_thread_wakes_the_reader_at_once() -> None:
    gate = threading.Event()
    camera = Scripted(lambda n: (gate.wait(10) if n else None, None)[1])
    source = LiveSource(camera, "x", stop_s=5)
    frames = iter(source)
    next(frames)
    threading.Timer(0.02, lambda: (source.close(), gate.set())).start()
    assert list(frames) == []
    source.close()  # and again


def test_a_source_that_is_never_read_closes_at_exit() -> None:
    code = (
        "from fer_edge.sources.live import Camera, LiveSource\nimport numpy as np\n"
        "class C(Camera):\n    description = ''\n    def open(self): pass\n"
        "    def read(self): return np.zeros((2, 2, 3), 'uint8'), 0.0\n    def close(self): print('closed')\n"
        "LiveSource(C(), 'x')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "closed\n"


class Reader:
    """Stands for the pipeline: what matters here is when frames come, not what is in them."""

    def __init__(self, at_frame: Callable[[Frame], None]) -> None:
        self.at_frame = at_frame

    def read_frame(self, frame: Frame) -> FrameReading:
        self.at_frame(frame)
        return FrameReading(frame, ())


def as_pipeline(at_frame: Callable[[Frame], None]) -> Pipeline:
    return Reader(at_frame)  # type: ignore[return-value]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_waits_for_a_frame(number: signal.Signals) -> None:
    gate = threading.Event()
    camera = Scripted(lambda n: (gate.wait(10) if n == 3 else None, None)[1])
    source = LiveSource(camera, "x")

    def at_frame(_: Frame) -> None:
        threading.Timer(0.05, lambda: (signal.raise_signal(number), gate.set())).start()

    summary = run(source, as_pipeline(at_frame), None)
    assert summary.ended_by == number.name
    assert summary.frames + summary.dropped <= camera.reads
    assert camera.closed_in == ["capture x"]
    assert no_capture_threads()


def test_an_error_in_the_reader_closes_the_camera() -> None:
    camera = Scripted()
    with pytest.raises(ZeroDivisionError):
        run(LiveSource(camera, "x"), as_pipeline(lambda _: fail(ZeroDivisionError())), None)
    assert camera.closed_in == ["capture x"]


def test_max_frames_closes_the_camera() -> None:
    camera = Scripted()
    summary = run(LiveSource(camera, "x"), as_pipeline(lambda _: None), None, max_frames=2)
    assert summary.frames == 2
    assert camera.closed_in == ["capture x"]
    assert camera.reads - 3 <= summary.dropped <= camera.reads - 2


def test_sigterm_while_a_camera_opens_closes_it(capfd: pytest.CaptureFixture[str]) -> None:
    opening = threading.Event()
    gate = threading.Event()

    def at_open() -> None:
        opening.set()
        gate.wait(10)

    camera = Scripted(at_open=at_open)
    threading.Timer(0.05, lambda: (opening.wait(10), signal.raise_signal(signal.SIGTERM))).start()
    threading.Timer(0.1, gate.set).start()
    with pytest.raises(SystemExit) as exit_, ended_by_sigterm():
        LiveSource(camera, "x")
    assert exit_.value.code == 0
    assert camera.closed_in == ["capture x"]
    assert "SIGTERM" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
