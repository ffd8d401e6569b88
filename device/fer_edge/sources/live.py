"""A live camera as a frame source: one thread captures, a one-slot mailbox hands over the newest frame.

A back end implements ``Camera`` and nothing else; everything it does happens in the capture thread.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from fer_edge.contract.bounds import FIRST_FRAME_S, STALL_S, STOP_S
from fer_edge.errors import SourceError
from fer_edge.program import threads
from fer_edge.program.threads import OnceThread
from fer_edge.sources.mailbox import LONGEST_WAIT_S, Closed, Mailbox
from fer_edge.types import Frame, FrameSource, RgbImage

RETRY_S = 0.02
log = logging.getLogger(__name__)


class StuckCamera(SourceError):  # noqa: N818  # named for what it is
    """A camera that neither gives a frame nor lets itself be closed: only a new process can try again.

    ``thread`` is the one that hangs in its driver, where known: should it end, this process can.
    """

    thread: threading.Thread | None = None


class CorruptFrame(SourceError):  # noqa: N818  # named for what it is
    """A frame that came and cannot be used; the next one may be good."""


class Camera(Protocol):
    """A camera, used once: ``open``, ``read`` again and again, ``close`` (also where ``open`` failed).

    ``description``: what was negotiated, once open: driver, format, size, rate. ``corrupt``: frames that it skipped
    itself because they could not be used. ``dropped``: good ones that it left out because a newer one was there.
    """

    description: str = ""
    corrupt: int = 0
    dropped: int = 0

    def open(self) -> None:
        """Opens and configures it.

        Raises:
            SourceError: it cannot be used; says why and what to do.
        """
        ...

    def read(self) -> tuple[RgbImage, float]:
        """Waits for a frame: upright RGB (height, width, 3) uint8, and its capture time (monotonic clock, s).

        Raises:
            SourceError: the camera was lost.
            CorruptFrame: this frame cannot be used.
        """
        ...

    def close(self) -> None:
        """Frees the device; safe to call twice."""
        ...


class LiveSource(FrameSource):
    """A ``FrameSource`` on a camera; made once the first frame is there.

    ``Frame.index`` counts what the camera gave, so dropped frames show as gaps. After an error or ``close`` the source
    is spent: to take up the camera again, make a new one (``sources/reconnect.py``).

    A frame that is no picture is counted in ``corrupt`` and skipped; frames that stop without an error are noticed.

    Args:
        camera: is opened, read and closed in the capture thread.
        name: of the source, as a URI.
        first_frame_s: longest wait for the first frame.
        stop_s: longest wait for the camera to close.
        stall_s: longest wait for each further good frame.

    Raises:
        SourceError: the camera cannot be opened, or gives no frame.
    """

    name: str

    def __init__(
        self,
        camera: Camera,
        name: str,
        first_frame_s: float = FIRST_FRAME_S,
        stop_s: float = STOP_S,
        stall_s: float = STALL_S,
    ) -> None:
        self.name, self._camera, self._stop_s = name, camera, stop_s
        self._stall_s, self._corrupt = stall_s, 0
        self._mailbox: Mailbox[Frame] = Mailbox()
        self._ready = threading.Event()
        self._ended = False
        # a daemon thread: a driver that never returns must not keep the process alive
        self._thread = OnceThread(f"capture {name}", self._capture)
        _open.add(self)
        atexit.register(self._end)  # for a source that nobody ended
        self._thread.start()
        try:
            until = time.monotonic() + first_frame_s
            timely = False
            while not timely and time.monotonic() < until:
                timely = self._ready.wait(min(first_frame_s, LONGEST_WAIT_S))  # see there
            self._mailbox.check()
        except BaseException:  # also a signal's: the camera must be closed before the process ends
            self._end()
            raise
        if not timely:
            self._end()
            raise self._silent(f"source {name}: no frame in {first_frame_s:g} s; check the camera and its cable")

    @property
    def description(self) -> str:
        """What the camera negotiated."""
        return self._camera.description

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were read."""
        return self._mailbox.dropped + self._camera.dropped

    @property
    def corrupt(self) -> int:
        """Frames that came and could not be used."""
        return self._corrupt + self._camera.corrupt

    def __iter__(self) -> Iterator[Frame]:
        """The newest frame, again and again; raises SourceError when the camera is lost or gives none any more."""
        try:
            while True:
                try:
                    frame = self._mailbox.get(self._stall_s)
                except Closed:
                    return
                except TimeoutError:
                    self._end()
                    raise self._silent(
                        f"source {self.name}: no good frame for {self._stall_s:g} s; check the camera and its cable"
                    ) from None
                yield frame
        finally:
            self._end()

    def _silent(self, message: str) -> SourceError:
        if not self._thread.is_alive():
            return SourceError(message)
        stuck = StuckCamera(message)
        stuck.thread = self._thread
        return stuck

    def close(self) -> None:
        """Ends the iteration at once; safe in a signal handler. The capture thread then closes the camera."""
        self._mailbox.close()

    def _capture(self) -> None:
        try:
            self._camera.open()
            index = 0
            while not self._mailbox.closed:
                image, t_capture_s = self._read_good()
                self._mailbox.put(Frame(image, index, t_capture_s, self.name, can_be_late=True))
                self._ready.set()
                index += 1
        except SourceError as error:
            self._mailbox.fail(error)
        except Exception as error:  # camera libraries raise what they like; the reader must hear of it
            self._mailbox.fail(self._lost(error))
            threads.met("capture", error, "the camera is opened anew where it is waited for")
        finally:
            self._ready.set()  # told before close(), which may hang
            try:
                self._camera.close()
            except Exception as error:
                log.warning("source %s: while closing: %s: %s", self.name, type(error).__name__, one_line(error))

    def _lost(self, error: Exception) -> SourceError:
        lost = SourceError(f"source {self.name}: {type(error).__name__}: {one_line(error)}")
        lost.__cause__ = error
        return lost

    def _read_good(self) -> tuple[RgbImage, float]:
        while True:
            with contextlib.suppress(CorruptFrame):
                image, t_capture_s = self._camera.read()
                if is_picture(image):
                    return image, t_capture_s
            self._corrupt += 1
            if self._mailbox.closed:
                raise SourceError(f"source {self.name}: closed")
            time.sleep(RETRY_S)  # a driver that has nothing good to give may answer at once, again and again

    def _end(self) -> None:
        """Closes the camera, waiting at most ``stop_s``."""
        if self._ended:
            return
        self._ended = True
        self._mailbox.close()
        self._thread.join(self._stop_s)
        self._mailbox.end()  # else a lost camera and its last frame stay until Python looks for cycles
        _open.discard(self)
        atexit.unregister(self._end)
        if self._thread.is_alive():
            _hung.append(self._thread)
            log.warning(
                "source %s: did not stop in %g s; leaving it to the end of the process", self.name, self._stop_s
            )


_open: set[LiveSource] = set()
_hung: list[threading.Thread] = []


def end_all() -> bool:
    """For the end of a program: closes all live sources; True where a driver hangs and does not come back.

    It then also hangs the libraries' own clean-up at exit, and only ``os._exit`` ends the process.
    """
    for source in tuple(_open):
        source._end()
    return any(thread.is_alive() for thread in _hung)


def is_picture(image: object) -> bool:
    """Whether it is an RGB picture that a face can be looked for in: (height, width, 3) uint8, at least 2 px a side.

    Drivers and decoders hand over empty, one-row or gray arrays where a transfer broke off.
    """
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and min(image.shape[:2]) >= 2
    )


def one_line(error: BaseException) -> str:
    """An error's text on one line, for messages."""
    return " ".join(str(error).split()) or "no reason given"
