"""``--camera``: takes the first camera that gives a frame, whichever way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fer_edge.board.identify import is_jetson
from fer_edge.errors import SourceError
from fer_edge.sources.live import LiveSource, StuckCamera
from fer_edge.sources.uri import SourceUri

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0


@dataclass(frozen=True)
class Attempt:
    """One way to a camera: what it is called and how it is opened."""

    name: str
    open: Callable[[], LiveSource]


def standard_attempts() -> tuple[Attempt, ...]:
    """picamera2, then V4L2, then Argus: a Pi's ribbon camera shows raw V4L2 nodes too, so libcamera goes first."""
    return Attempt("picamera2", _open_csi), Attempt("V4L2", _open_v4l2), Attempt("Argus", _open_argus)


def find_camera(attempts: Sequence[Attempt] | None = None) -> LiveSource:
    """The first camera that gives a frame.

    Raises:
        SourceError: none; one line with every way tried and why it failed.
        StuckCamera: none, and one way hung, so that only a new process can try it again.
    """
    reasons: list[str] = []
    stuck: StuckCamera | None = None
    for attempt in standard_attempts() if attempts is None else attempts:
        try:
            return attempt.open()
        except SourceError as error:
            reasons.append(f"{attempt.name}: {_without_name(str(error))}")
            stuck = error if isinstance(error, StuckCamera) else stuck
    said = f"no camera found; tried {'; '.join(f'[{n}] {r}' for n, r in enumerate(reasons, 1))}"
    if stuck is None:
        raise SourceError(said)
    none = StuckCamera(said)
    none.thread = stuck.thread  # it may let go: then this process can try again
    raise none


def backoff(rng: random.Random) -> Iterator[float]:
    """Delays in s: each twice the last up to the longest, each between half and the whole of that, at random.

    The jitter keeps several boards that lost power together from asking together.
    """
    delay_s = FIRST_DELAY_S
    while True:
        yield delay_s * rng.uniform(0.5, 1)
        delay_s = min(2 * delay_s, LONGEST_DELAY_S)


def _open_csi() -> LiveSource:
    from fer_edge.sources.picamera import picamera_source

    return picamera_source(SourceUri("csi", "0", {}, "csi://0"))


def _open_v4l2() -> LiveSource:
    from fer_edge.sources.devices import find_cameras
    from fer_edge.sources.v4l2 import v4l2_source

    found, reasons = find_cameras()
    for device, _ in found:
        try:
            return v4l2_source(SourceUri("v4l2", str(device), {}, f"v4l2://{device}"))
        except SourceError as error:
            reasons.append(_without_name(str(error)))
    raise SourceError(", ".join(reasons))


def _open_argus() -> LiveSource:
    from fer_edge.sources.argus import argus_source

    if not is_jetson():  # elsewhere starting GStreamer only costs time
        raise SourceError("this is no Jetson")
    return argus_source(SourceUri("argus", "0", {}, "argus://0"))


def _without_name(message: str) -> str:
    """``source csi://0: why`` without its head: the way's own name stands before it."""
    head, colon, why = message.partition(": ")
    return why if colon and head.startswith("source ") else message
