"""A camera on a Jetson's ribbon connector: NVIDIA's Argus through a GStreamer pipeline that OpenCV reads."""

from __future__ import annotations

import re
import time

import cv2
import numpy as np

from fer_edge.board.identify import is_jetson
from fer_edge.contract.bounds import ARGUS_FIRST_FRAME_S as FIRST_FRAME_S
from fer_edge.contract.descriptors import captured
from fer_edge.errors import SourceError
from fer_edge.sources.live import Camera, LiveSource
from fer_edge.sources.opencv import opencv_warns, rgb_of
from fer_edge.sources.options import CameraOptions, camera_number, camera_options, differences
from fer_edge.sources.uri import SourceUri
from fer_edge.types import RgbImage

# nvvidconv's flip-method by EXIF code: 1 turns left, 2 by 180 degrees, 3 right; 4 and 6 mirror, 5 and 7 by a diagonal
FLIP_METHODS = {1: 0, 2: 4, 3: 2, 4: 6, 5: 7, 6: 3, 7: 5, 8: 1}

# what Argus and GStreamer print when they fail, and what helps
ADVICE = (
    ("failed to create capturesession", "Argus is stuck (Failed to create CaptureSession)", "RESTART"),
    ("no cameras available", "Argus sees no camera", "check the ribbon cable with the power off; ls /dev/video*"),
    ("invalid camera device specified", "Argus has no camera of that number", "try argus://0"),
    ("connecting to nvargus-daemon failed", "the camera daemon is not running", "RESTART"),
    ("no element", "this GStreamer has no nvarguscamerasrc", "it comes with JetPack (nvidia-l4t-gstreamer)"),
    # OpenCV's words where a pipeline cannot be put together at all
    ("cannot find appsink", "this GStreamer has no nvarguscamerasrc", "it comes with JetPack (nvidia-l4t-gstreamer)"),
)
RESTART = "sudo systemctl restart nvargus-daemon, then start again"


def argus_pipeline(number: int, wanted: CameraOptions) -> str:
    """The GStreamer pipeline: sensor → NVMM memory → converted and turned → B, G, R in the newest-only sink.

    Args:
        number: of the sensor.
        wanted: size and rate; the size is that of the picture as mounted, before it is turned.
    """
    flip = FLIP_METHODS[wanted.orientation]
    return " ! ".join(
        (
            f"nvarguscamerasrc sensor-id={number}",
            f"video/x-raw(memory:NVMM), width={wanted.width}, height={wanted.height}, format=NV12, "
            f"framerate={wanted.fps}/1",
            f"nvvidconv flip-method={flip}",
            "video/x-raw, format=BGRx",
            "videoconvert",
            "video/x-raw, format=BGR",
            "appsink drop=true max-buffers=1 sync=false",
        )
    )


def has_gstreamer(build_information: str) -> bool:
    """Whether OpenCV's build information (``cv2.getBuildInformation()``) lists GStreamer as built in."""
    return re.search(r"^\s*GStreamer:\s*YES", build_information, re.MULTILINE) is not None


def advice(printed: str) -> str:
    """What went wrong and what helps, from what the libraries printed while the pipeline started."""
    lowered = printed.lower()
    for words, reason, remedy in ADVICE:
        if words in lowered:
            return f"{reason}; {RESTART if remedy == 'RESTART' else remedy}"
    last = [line.strip() for line in printed.splitlines() if line.strip()][-1:]
    return f"the pipeline gave no frame ({last[0] if last else 'nothing was printed'}); {RESTART} if this goes on"


class GstreamerCamera(Camera):
    """A GStreamer pipeline that ends in an appsink of B, G, R pictures.

    Args:
        name: of the source, for messages.
        pipeline: see ``argus_pipeline``.
        wanted: only to say where the pipeline gives another size.
        label: what kind of camera it is, for ``description``.
    """

    name: str
    pipeline: str
    wanted: CameraOptions
    label: str
    description: str

    def __init__(self, name: str, pipeline: str, wanted: CameraOptions, label: str = "Argus") -> None:
        self.name, self.pipeline, self.wanted, self.label = name, pipeline, wanted, label
        self.description = ""
        self._capture: cv2.VideoCapture | None = None
        self._first: RgbImage | None = None
        self._frames = 0

    def open(self) -> None:
        """Starts the pipeline and reads the first frame."""
        require_gstreamer(self.name)
        with opencv_warns(), captured(1, 2) as printed:  # its warnings carry GStreamer's reasons
            self._capture = cv2.VideoCapture(self.pipeline, cv2.CAP_GSTREAMER)
            ok, picture = self._capture.read() if self._capture.isOpened() else (False, None)
        if not ok or picture is None:
            raise SourceError(f"source {self.name}: {advice(printed.decode('utf-8', 'replace'))}")
        self._first = np.asarray(picture, dtype=np.uint8)
        height, width = self._first.shape[:2]
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        shape = (height, width) if self.wanted.orientation >= 5 else (width, height)
        self.description = f"{self.label}, {width}x{height} BGR at {fps:g} fps{differences(self.wanted, *shape, fps)}"

    def read(self) -> tuple[RgbImage, float]:
        """The next frame; captured when it came out of the sink, which keeps one."""
        picture, self._first = self._first, None
        if picture is None:
            assert self._capture is not None
            ok, picture = self._capture.read()
            if not ok or picture is None:
                raise SourceError(f"source {self.name}: the camera stopped after {self._frames} frames; {RESTART}")
        self._frames += 1
        return rgb_of(picture), time.monotonic()

    def close(self) -> None:
        """Stops the pipeline; a session that is not closed leaves the camera daemon stuck."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def argus_source(uri: SourceUri) -> LiveSource:
    """Opens ``argus://0?width=…&height=…&fps=…&rotation=90``.

    Raises:
        SourceError: OpenCV has no GStreamer, no Argus, no such camera, or no frame.
    """
    wanted = camera_options(uri)
    pipeline = argus_pipeline(camera_number(uri), wanted)
    require_gstreamer(uri.text)
    if not is_jetson():  # GStreamer would wait half a minute for a picture from an element that is not there
        raise SourceError(f"source {uri.text}: this is no Jetson; expected csi:// on a Raspberry Pi, v4l2:// elsewhere")
    return LiveSource(GstreamerCamera(uri.text, pipeline, wanted), uri.text, first_frame_s=FIRST_FRAME_S)


def require_gstreamer(name: str) -> None:
    """Refuses an OpenCV without GStreamer.

    Raises:
        SourceError: says so, and where to get one.
    """
    if not has_gstreamer(cv2.getBuildInformation()):
        raise SourceError(
            f"source {name}: this OpenCV ({cv2.__version__}) has no GStreamer, like all of pip's; on a Jetson: "
            "pip uninstall opencv-python-headless, sudo apt install python3-opencv, a venv with --system-site-packages"
        )
