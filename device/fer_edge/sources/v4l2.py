"""A V4L2 camera (USB, or any with a V4L2 capture node) by its path, through OpenCV."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fer_edge.board.camera_nodes import busy, find_usb, parse_usb, usb_id
from fer_edge.contract.bounds import GOOD_FRAME_S
from fer_edge.errors import SourceError
from fer_edge.sources.devices import Capability, explain, find_cameras, query
from fer_edge.sources.live import Camera, LiveSource
from fer_edge.sources.opencv import rgb_of
from fer_edge.sources.options import CameraOptions, camera_options, differences
from fer_edge.sources.uri import SourceUri
from fer_edge.types import RgbImage

RETRY_S = 0.02


class V4l2Camera(Camera):
    """One V4L2 device. Success is a good frame: OpenCV also "opens" a node whose device is going away.

    Args:
        name: of the source, for messages.
        device: node or link to it, e.g. ``/dev/v4l/by-id/usb-…-video-index0``.
        wanted: is asked for; what the driver gives instead is accepted and said in ``description``.
        ask: how the node is asked what it is.
    """

    name: str
    device: Path
    wanted: CameraOptions
    description: str
    corrupt: int

    def __init__(
        self, name: str, device: Path, wanted: CameraOptions, ask: Callable[[Path], Capability] = query
    ) -> None:
        self.name, self.device, self.wanted, self._ask = name, device, wanted, ask
        self.description = ""
        self._capture: cv2.VideoCapture | None = None
        self._first: RgbImage | None = None
        self._frames = self.corrupt = 0

    def open(self) -> None:
        """Opens, negotiates and reads the first good frame."""
        capability = self._check()
        node = self.device.resolve()  # a by-id link keeps its name when numbers change
        # by number where the name has one: OpenCV refuses some device names that it opens by number
        number = re.fullmatch(r"/dev/video(\d+)", str(node))
        self._capture = capture = cv2.VideoCapture(int(number[1]) if number else str(node), cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # before the size, which depends on it
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.wanted.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.wanted.height)
        capture.set(cv2.CAP_PROP_FPS, self.wanted.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._first = self._good_frame()
        height, width = self._first.shape[:2]
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
        plain = "" if fourcc == "MJPG" else " (no MJPG)"  # uncompressed, USB 2 carries few large frames
        self.description = (
            f"V4L2 {capability.card} ({node}, {capability.driver}), {width}x{height} {fourcc}{plain} at {fps:g} fps"
            f"{differences(self.wanted, width, height, fps)}"
        )

    def read(self) -> tuple[RgbImage, float]:
        """The next good frame and when the driver captured it."""
        picture, self._first = self._first, None
        if picture is None:
            picture = self._good_frame()
        self._frames += 1
        assert self._capture is not None
        captured = capture_time(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000, time.monotonic())
        return rgb_of(picture), captured

    def close(self) -> None:
        """Frees the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _check(self) -> Capability:
        if not self.device.exists():
            found = ", ".join(str(device) for device, _ in find_cameras()[0]) or "none"
            raise SourceError(
                f"source {self.name}: no such device; plug the camera in or name another (cameras found: {found})"
            )
        try:
            capability = self._ask(self.device)
        except OSError as error:
            raise SourceError(f"source {self.name}: {explain(error, self.device)}") from error
        reason = capability.unfit()
        if reason is not None:
            raise SourceError(f"source {self.name}: {self.device} {reason}")
        return capability

    def _good_frame(self) -> RgbImage:
        """The next picture (B, G, R). A broken frame is skipped; a device that is gone ends it at once."""
        assert self._capture is not None
        until = time.monotonic() + GOOD_FRAME_S
        while True:
            ok, picture = self._capture.read()
            if ok and picture is not None and picture.ndim == 3:
                return np.asarray(picture, dtype=np.uint8)
            self.corrupt += int(ok)
            try:
                self._ask(self.device)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    after = f"lost after {self._frames} frames" if self._frames else "gave no frame"
                    raise SourceError(f"source {self.name}: {after}: {explain(error, self.device)}") from error
            if time.monotonic() > until:
                raise SourceError(f"source {self.name}: {self._silence()}")
            time.sleep(RETRY_S)

    def _silence(self) -> str:
        if self._frames:
            return f"no good frame for {GOOD_FRAME_S:g} s after {self._frames} frames; check its cable"
        return f"opened without a frame in {GOOD_FRAME_S:g} s; {busy([re.escape(str(self.device.resolve()))])}"


class V4l2Opener:
    """Opens ``v4l2:///dev/video0?width=…`` or ``v4l2://usb:046d:0825[:serial]``, and finds the camera again later.

    A camera that is plugged in again can get another number (``/dev/video0`` becomes ``/dev/video2``), and its
    by-id link may be missing. Its USB identity, seen when it was first open, finds it under any name.

    Args:
        uri: of the camera.
        root: folder that holds sys/ and dev/.

    Raises:
        SourceError: options out of range.
    """

    uri: SourceUri
    wanted: CameraOptions

    def __init__(self, uri: SourceUri, root: Path = Path("/")) -> None:
        self.uri, self.wanted, self._root = uri, camera_options(uri), root
        self.usb = parse_usb(uri.path)
        if self.usb is None and not uri.path.startswith("/"):
            raise SourceError(
                f"source {uri.text}: names no device; expected v4l2:///dev/video0 or v4l2://usb:046d:0825"
            )
        self._named = Path(uri.path) if self.usb is None else None

    def __call__(self) -> LiveSource:
        """Opens it where it is now.

        Raises:
            SourceError: no camera there, or no frame.
        """
        device = self.locate()
        source = LiveSource(V4l2Camera(self.uri.text, device, self.wanted), self.uri.text)
        self.usb = self.usb or usb_id(device.resolve(), self._root)
        return source

    def locate(self) -> Path:
        """The node: the one named if it is (still) that camera, else the one with its identity.

        Raises:
            SourceError: asked for by USB identity, and not plugged in.
        """
        named = self._named
        if named is not None and named.exists():
            found = usb_id(named.resolve(), self._root)
            if self.usb is None or (found is not None and self.usb.matches(found)):
                return named
        moved = find_usb(self.usb, self._root) if self.usb else None
        if moved is not None:
            return moved
        if named is not None and (self.usb is None or not named.exists()):
            return named  # V4l2Camera says what is wrong with it
        other = f"; {named} is another camera now" if named is not None else ""
        raise SourceError(f"source {self.uri.text}: no camera {self.usb} is plugged in (see lsusb){other}")


def v4l2_source(uri: SourceUri) -> LiveSource:
    """Opens a V4L2 camera once; see ``V4l2Opener``.

    Raises:
        SourceError: no camera there, no frame, or options out of range.
    """
    return V4l2Opener(uri)()


def capture_time(driver_s: float, now_s: float, oldest_s: float = 5.0) -> float:
    """The driver's time stamp where it is one of the monotonic clock, else now.

    V4L2 stamps buffers with CLOCK_MONOTONIC (V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC), but a driver may use another clock.
    """
    return driver_s if now_s - oldest_s <= driver_s <= now_s else now_s
