"""A stand-in for picamera2 and libcamera with the real package's interface (checked against data/picamera2.json)."""

from __future__ import annotations

import atexit
import threading
import time
import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

RED_GREEN_BLUE = (200, 100, 50)  # every pixel of what the sensor sees


@dataclass
class Scene:
    """What happens to be plugged in, and what the code under test did with it."""

    cameras: list[dict[str, Any]] = field(default_factory=lambda: [{"Model": "imx219", "Num": 0}])
    late_cameras: list[dict[str, Any]] = field(default_factory=list)  # seen when looked for again
    open_error: Exception | None = None
    frames: int | None = None  # after so many the cable is out; None: never
    stamps: bool = True
    stop_hangs: bool = False
    controls: tuple[str, ...] = ("FrameDurationLimits", "ExposureTime")
    stride_size: tuple[int, int] | None = None  # what libcamera makes of the size
    log: list[str] = field(default_factory=list)
    configurations: list[dict[str, Any]] = field(default_factory=list)
    held: int = 0  # requests that were not released
    waits: list[Any] = field(default_factory=list)


scene = Scene()


class Transform:
    """libcamera's; the real one is compiled and takes these by name."""

    def __init__(self, hflip: bool = False, vflip: bool = False, transpose: bool = False) -> None:
        self.hflip, self.vflip, self.transpose = hflip, vflip, transpose


class CompletedRequest:
    """A frame with its buffer, which the camera gets back by ``release``."""

    def __init__(self, configuration: dict[str, Any], at_ns: int) -> None:
        self._main, self._at_ns, self._released = configuration["main"], at_ns, False

    def make_array(self, name: str) -> NDArray[np.uint8]:
        assert name == "main"
        assert not self._released
        width, height = self._main["size"]
        # as the real package: a format is named last byte first, so BGR888 lies in memory as R, G, B
        pixel = {"BGR888": RED_GREEN_BLUE, "RGB888": RED_GREEN_BLUE[::-1]}[self._main["format"]]
        return np.broadcast_to(np.array(pixel, dtype=np.uint8), (height, width, 3)).copy()

    def get_metadata(self) -> dict[str, Any]:
        assert not self._released
        return {"SensorTimestamp": self._at_ns, "ExposureTime": 1000} if scene.stamps else {}

    def release(self) -> None:
        assert not self._released
        self._released = True
        scene.held -= 1


class CameraManager:
    """The package's own: looks for cameras once, and again after ``reset``."""

    def reset(self) -> None:
        scene.log.append("look again")
        scene.cameras = scene.late_cameras


class Picamera2:
    """The methods that fer-edge uses."""

    _cm = CameraManager()

    def __init__(
        self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None, allocator: Any = None
    ) -> None:
        scene.log.append(f"open {camera_num}")
        if scene.open_error is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from scene.open_error
        self._configuration: dict[str, Any] = {}
        self._given = 0
        atexit.register(self.close)  # as the real one

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return scene.cameras

    @property
    def camera_controls(self) -> dict[str, Any]:
        return dict.fromkeys(scene.controls, (0, 1, None))

    def create_video_configuration(
        self,
        main: Any = {},  # noqa: B006  # as the real one
        lores: Any = None,
        raw: Any = {},  # noqa: B006
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: Any = {},  # noqa: B006
        display: Any = "main",
        encode: Any = "main",
        queue: bool = True,
        sensor: Any = {},  # noqa: B006
        use_case: str = "video",
    ) -> dict[str, Any]:
        return {"main": dict(main), "transform": transform, "buffer_count": buffer_count, "controls": dict(controls)}

    def configure(self, camera_config: Any = None) -> None:
        scene.configurations.append(camera_config)
        self._configuration = camera_config
        if scene.stride_size:
            camera_config["main"]["size"] = scene.stride_size

    def camera_configuration(self) -> dict[str, Any]:
        return self._configuration

    def start(self, config: Any = None, show_preview: bool = False) -> None:
        assert self._configuration
        scene.log.append("start")

    def capture_request(self, wait: Any = None, signal_function: Any = None, flush: Any = None) -> CompletedRequest:
        scene.waits.append(wait)
        if scene.held >= self._configuration["buffer_count"] or self._given == scene.frames:
            assert wait is not None, "would wait for ever"
            raise TimeoutError
        self._given += 1
        scene.held += 1
        time.sleep(0.002)
        return CompletedRequest(self._configuration, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000)

    def cancel_all_and_flush(self) -> None:
        scene.log.append("cancel")

    def stop(self) -> None:
        scene.log.append("stop")
        if scene.stop_hangs:
            threading.Event().wait()

    def close(self) -> None:
        atexit.unregister(self.close)
        self.stop()
        scene.log.append(f"close in {threading.current_thread().name}")


def modules() -> dict[str, types.ModuleType]:
    """For ``sys.modules``."""
    picamera2, libcamera = types.ModuleType("picamera2"), types.ModuleType("libcamera")
    picamera2.Picamera2 = Picamera2  # type: ignore[attr-defined]
    libcamera.Transform = Transform  # type: ignore[attr-defined]
    return {"picamera2": picamera2, "libcamera": libcamera}
