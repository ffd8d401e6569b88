"""A camera on the Raspberry Pi's ribbon connector, through picamera2 (the only module that imports it)."""

from __future__ import annotations

import atexit
import concurrent.futures
import importlib
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.board.camera_nodes import busy
from fer_edge.board.identify import read_text
from fer_edge.contract.bounds import GOOD_FRAME_S as FRAME_S
from fer_edge.errors import SourceError
from fer_edge.sources.live import Camera, LiveSource, one_line
from fer_edge.sources.options import CameraOptions, camera_number, camera_options, differences
from fer_edge.sources.uri import SourceUri
from fer_edge.types import RgbImage

# picamera2 names formats as libcamera does, last byte first: BGR888 is R, G, B in memory (checked in tests/vm)
FORMAT = "BGR888"
BUFFERS = 4  # of CMA memory: one in our hands, the others with the sensor
DEVICES = (r"/dev/media\d+", r"/dev/video\d+")
INSTALL = "sudo apt install python3-picamera2 --no-install-recommends"


class PicameraCamera(Camera):
    """One camera of libcamera. It is configured once: every further configuration takes new CMA memory.

    Args:
        name: of the source, for messages.
        number: of the camera, as ``rpicam-hello --list-cameras`` counts.
        wanted: is asked for.
        frame_s: longest wait for a frame.
        proc: the proc file system, in which the owner of a busy camera is looked up.
    """

    name: str
    number: int
    wanted: CameraOptions
    frame_s: float
    description: str

    def __init__(
        self,
        name: str,
        number: int,
        wanted: CameraOptions,
        frame_s: float = FRAME_S,
        proc: Path = Path("/proc"),
    ) -> None:
        self.name, self.number, self.wanted, self.frame_s, self._proc = name, number, wanted, frame_s, proc
        self.description = ""
        self._camera: Any = None
        self._frames = 0

    def open(self) -> None:
        """Takes the camera, configures and starts it."""
        picamera2, libcamera = _import_picamera2(self.name)
        cameras = _list_cameras(picamera2.Picamera2)
        if self.number >= len(cameras):
            there = f"only {len(cameras)} there" if cameras else "libcamera finds none"
            raise SourceError(
                f"source {self.name}: no camera {self.number} ({there}); check the ribbon cable with the power off, "
                "and rpicam-hello --list-cameras"
            )
        try:
            self._camera = camera = picamera2.Picamera2(self.number)
            # its own clean-up at exit calls a stop() that can hang; LiveSource closes it, with a time limit
            atexit.unregister(camera.close)
            wanted = self.wanted
            controls = {}
            if "FrameDurationLimits" in camera.camera_controls:
                controls["FrameDurationLimits"] = (round(1e6 / wanted.fps), round(1e6 / wanted.fps))  # µs
            configuration = camera.create_video_configuration(
                main={"size": (wanted.width, wanted.height), "format": FORMAT},
                # a quarter turn is done behind it
                transform=libcamera.Transform(hflip=wanted.orientation in (2, 3), vflip=wanted.orientation in (3, 4)),
                buffer_count=BUFFERS,
                controls=controls,
            )
            camera.configure(configuration)
            camera.start()
        except (RuntimeError, OSError, ValueError) as error:
            raise SourceError(f"source {self.name}: {self._why(error)}") from error
        main = camera.camera_configuration()["main"]
        if main["format"] != FORMAT:
            raise SourceError(
                f"source {self.name}: gives {main['format']}, expected {FORMAT}; another camera or size may do"
            )
        width, height = main["size"]
        model = cameras[self.number].get("Model", "camera")
        self.description = (
            f"picamera2 {model}, {width}x{height} {FORMAT} at {wanted.fps if controls else 'its own'} fps"
            f"{differences(wanted, width, height, 0)}"
        )

    def read(self) -> tuple[RgbImage, float]:
        """The next frame and when its exposure began to be read out.

        No ``flush``: the capture thread always asks for the next frame, so none grows old in the queue, whereas a flush
        waits for an exposure that began after the call, which halves the rate (and needs ExposureTime, which not every
        driver reports). The age is carried in the capture time.
        """
        try:
            request = self._camera.capture_request(wait=self.frame_s)
        except (TimeoutError, concurrent.futures.TimeoutError) as error:  # two classes before Python 3.11
            raise SourceError(
                f"source {self.name}: camera frontend timed out: no frame in {self.frame_s:g} s after {self._frames}; "
                "check the ribbon cable with the power off, then start again"
            ) from error
        try:
            image = request.make_array("main")
            stamp_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()  # without it the camera stops after BUFFERS frames
        self._frames += 1
        now_ns = time.monotonic_ns()
        captured_ns = now_ns if stamp_ns is None else sensor_time(stamp_ns, now_ns, _boottime_ns())
        return np.ascontiguousarray(image), captured_ns / 1e9

    def close(self) -> None:
        """Stops and frees the camera; may hang where the camera was pulled out."""
        camera, self._camera = self._camera, None
        if camera is not None:
            flush = getattr(camera, "cancel_all_and_flush", None)  # a capture that timed out still stands in the queue
            if flush is not None:
                flush()
            camera.close()

    def _why(self, error: BaseException) -> str:
        said = causes(error)
        lowered = said.lower()
        if "busy" in lowered or "in use" in lowered or "acquire" in lowered:
            return f"in use by another process; {busy(DEVICES, self._proc)}"
        if "permission" in lowered:
            return "not permitted; sudo usermod -aG video,render $USER, then log in again"
        if "cannot allocate" in lowered or "errno 12" in lowered:
            return f"no memory for its buffers (CMA); ask for a smaller size, or add cma=256M to cmdline.txt ({said})"
        return f"{said}; rpicam-hello --list-cameras shows whether the system sees the camera"


def picamera_source(uri: SourceUri) -> LiveSource:
    """Opens ``csi://0?width=…&height=…&fps=…&hflip=1&vflip=1&rotation=180``.

    Raises:
        SourceError: picamera2 is absent or does not fit, no such camera, busy, or no frame.
    """
    camera = PicameraCamera(uri.text, camera_number(uri), camera_options(uri))
    _import_picamera2(uri.text)  # here, because it takes many seconds on a small board and has no time limit
    return LiveSource(camera, uri.text)


def sensor_time(stamp_ns: int, monotonic_ns: int, boottime_ns: int) -> int:
    """libcamera's SensorTimestamp on the monotonic clock, in ns.

    libcamera documents CLOCK_BOOTTIME, which also runs while suspended; some drivers hand through V4L2's
    CLOCK_MONOTONIC. The clocks differ only after a suspend; then the reading that gives the smaller age is taken, which
    is the right one for every frame younger than the suspend was long. Never later than now.

    Args:
        stamp_ns: SensorTimestamp.
        monotonic_ns: CLOCK_MONOTONIC now.
        boottime_ns: CLOCK_BOOTTIME now.
    """
    as_boottime = boottime_ns - stamp_ns
    as_monotonic = monotonic_ns - stamp_ns
    age_ns = min((age for age in (as_boottime, as_monotonic) if age >= 0), default=0)
    return monotonic_ns - age_ns


def causes(error: BaseException) -> str:
    """An error and what it came from, innermost last, on one line."""
    said: list[str] = []
    step: BaseException | None = error
    while step is not None:
        text = one_line(step).rstrip(".")
        if text not in said:
            said.append(text)
        step = step.__cause__ or step.__context__
    return ": ".join(said)


def _import_picamera2(name: str) -> tuple[Any, Any]:
    try:
        picamera2 = importlib.import_module("picamera2")
        libcamera = importlib.import_module("libcamera")
    except ModuleNotFoundError as error:
        raise SourceError(f"source {name}: {_missing(error.name or 'picamera2')}") from error
    except Exception as error:  # numpy of another major version makes simplejpeg raise ValueError, and the like
        raise SourceError(
            f"source {name}: picamera2 does not load ({type(error).__name__}: {one_line(error)}); "
            "use the system's numpy: pip uninstall numpy in the venv"
        ) from error
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # our own line says it
    return picamera2, libcamera


def _list_cameras(kind: Any) -> list[dict[str, Any]]:
    """The cameras that libcamera sees now.

    Its manager looks once, when it starts, and then relies on udev: where it found none, it is started anew, so that
    ``--wait`` sees a camera whose driver came late.
    """
    cameras: list[dict[str, Any]] = kind.global_camera_info()
    reset = getattr(getattr(kind, "_cm", None), "reset", None)
    if not cameras and reset is not None:
        reset()
        cameras = kind.global_camera_info()
    return cameras


def _missing(module: str) -> str:
    inside = sys.prefix != sys.base_prefix
    remedy = INSTALL
    if inside and not _sees_system_packages():
        remedy += ", and make the venv anew: /usr/bin/python3 -m venv --system-site-packages"
    elif inside:
        remedy += "; the venv's Python must be the system's own (/usr/bin/python3)"
    return f"{module} is not installed for {sys.prefix}; {remedy}"


def _sees_system_packages() -> bool:
    text = read_text(Path(sys.prefix, "pyvenv.cfg"))
    return not text or "include-system-site-packages = true" in text.lower()


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
