"""The picamera2 source on a stand-in whose interface is recorded from the real package; tests/vm runs the real one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fake_picamera2
import numpy as np
import pytest
from fake_picamera2 import RED_GREEN_BLUE, Scene
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.errors import SourceError
from fer_edge.sources import open_source, picamera
from fer_edge.sources.live import LiveSource
from fer_edge.sources.options import CameraOptions

DATA = Path(__file__).parents[1] / "data"
RECORDED = json.loads((DATA / "picamera2.json").read_text())


def recorder() -> object:
    spec = importlib.util.spec_from_file_location("record_picamera2", DATA / "record_picamera2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name, module in fake_picamera2.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    fresh = Scene()
    monkeypatch.setattr(fake_picamera2, "scene", fresh)
    yield fresh
    assert fresh.held == 0  # every request was given back


def test_the_stand_in_has_the_real_interface() -> None:
    """So a call that the stand-in takes, the real package takes too."""
    ours = recorder().interface(fake_picamera2.Picamera2, fake_picamera2.CompletedRequest)  # type: ignore[attr-defined]
    real = RECORDED["interface"]
    assert ours.pop("Picamera2.create_video_configuration") == real.pop("Picamera2.create_video_configuration")
    assert ours == real


def test_the_record_is_of_the_installed_package() -> None:
    pytest.importorskip(
        "libcamera", reason="python3-libcamera is not installed here; make test-vm checks it", exc_type=ImportError
    )
    pytest.importorskip(
        "picamera2", reason="picamera2 is not installed here; make test-vm checks it", exc_type=ImportError
    )
    from picamera2 import Picamera2
    from picamera2.request import CompletedRequest

    installed = recorder().interface(Picamera2, CompletedRequest)  # type: ignore[attr-defined]
    for name, parameters in RECORDED["interface"].items():
        assert set(parameters) <= set(installed[name]), name


def test_frames_are_red_green_blue_with_the_sensors_time(scene: Scene) -> None:
    source = open_source("csi://0?width=320&height=240&fps=25")
    assert isinstance(source, LiveSource)
    assert source.description == "picamera2 imx219, 320x240 BGR888 at 25 fps"
    frames = []
    for frame in source:
        age = time.monotonic() - frame.t_capture_s
        assert 0.019 < age < 2  # the stand-in's frames are 20 ms old
        frames.append(frame)
        if len(frames) == 5:
            source.close()
    assert frames[0].image.shape == (240, 320, 3)
    assert frames[0].image.dtype == np.uint8
    assert (frames[0].image == RED_GREEN_BLUE).all()
    assert [f.index for f in frames] == sorted({f.index for f in frames})
    assert [entry for entry in scene.log if entry.startswith("close")] == [
        "close in capture csi://0?width=320&height=240&fps=25"
    ]


def test_it_is_configured_once_in_the_format_that_lies_as_rgb(scene: Scene) -> None:
    source = open_source("csi://0?width=320&height=240&fps=25&rotation=180")
    for frame in source:
        if frame.index > 20:
            source.close()
    (configuration,) = scene.configurations
    assert picamera.FORMAT == "BGR888"
    assert configuration["main"] == {"size": (320, 240), "format": "BGR888"}
    assert configuration["controls"] == {"FrameDurationLimits": (40000, 40000)}
    assert (configuration["transform"].hflip, configuration["transform"].vflip) == (True, True)
    assert all(isinstance(wait, float) and 0 < wait < 60 for wait in scene.waits)  # True would wait for ever


@pytest.mark.parametrize(
    ("options", "flips"), [("", (False, False)), ("?hflip=1", (True, False)), ("?vflip=1", (False, True))]
)
def test_flips(scene: Scene, options: str, flips: tuple[bool, bool]) -> None:
    source = open_source(f"csi://0{options}")
    list(_first(source))
    transform = scene.configurations[0]["transform"]
    assert (transform.hflip, transform.vflip) == flips


def test_a_quarter_turn_is_done_behind_the_sensor(scene: Scene) -> None:
    source = open_source("csi://0?width=320&height=240&rotation=90&hflip=1")
    (frame,) = _first(source)
    assert frame.image.shape == (320, 240, 3)
    transform = scene.configurations[0]["transform"]
    assert (transform.hflip, transform.vflip) == (False, False)


def test_a_camera_without_rate_control_or_time_stamps(scene: Scene) -> None:
    scene.controls, scene.stamps, scene.stride_size = (), False, (384, 240)
    source = open_source("csi://0?width=320&height=240")
    assert "384x240 BGR888 at its own fps (asked for 320x240)" in source.description  # type: ignore[attr-defined]
    (frame,) = _first(source)
    assert abs(time.monotonic() - frame.t_capture_s) < 2


def test_a_lost_camera_is_one_line(scene: Scene) -> None:
    scene.frames = 3
    source = open_source("csi://0?width=320&height=240")
    with pytest.raises(
        SourceError, match="frontend timed out: no frame in 5 s after 3; check the ribbon cable"
    ) as error:
        list(source)
    assert "\n" not in str(error.value)
    assert scene.log[-3:-1] == ["cancel", "stop"]


def test_no_frame_at_all(scene: Scene) -> None:
    scene.frames = 0
    with pytest.raises(SourceError, match="frontend timed out"):
        open_source("csi://0")


def test_no_camera_is_plugged_in(scene: Scene) -> None:
    scene.cameras = []
    with pytest.raises(SourceError, match=r"no camera 0 \(libcamera finds none\); check the ribbon cable"):
        open_source("csi://0")
    scene.cameras = [{"Model": "imx219", "Num": 0}]
    with pytest.raises(SourceError, match=r"no camera 1 \(only 1 there\)"):
        open_source("csi://1")
    assert scene.log == ["look again"]


def test_a_camera_whose_driver_came_late_is_seen(scene: Scene) -> None:
    scene.cameras, scene.late_cameras = [], [{"Model": "ov5647", "Num": 0}]
    source = open_source("csi://0")
    assert "ov5647" in source.description  # type: ignore[attr-defined]
    list(_first(source))


def test_a_busy_camera_names_its_owner(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "4242/fd").mkdir(parents=True)
    (tmp_path / "4242/comm").write_text("rpicam-vid\n")
    (tmp_path / "4242/fd/7").symlink_to("/dev/media1")
    scene.open_error = RuntimeError("Failed to acquire camera: Device or resource busy")
    camera = picamera.PicameraCamera("csi://0", 0, CameraOptions(), proc=tmp_path)
    with pytest.raises(SourceError) as error:
        camera.open()
    assert str(error.value) == (
        "source csi://0: in use by another process; rpicam-vid (pid 4242) holds /dev/media1; stop it first"
    )


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (OSError(13, "Permission denied"), "usermod -aG video,render"),
        (OSError(12, "Cannot allocate memory"), "cma=256M"),
        (RuntimeError("Failed to initialize camera"), "Failed to initialize camera; rpicam-hello --list-cameras"),
    ],
)
def test_other_reasons(scene: Scene, cause: Exception, said: str) -> None:
    scene.open_error = cause
    with pytest.raises(SourceError) as error:
        open_source("csi://0")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_picamera2_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match="sudo apt install python3-picamera2") as error:
        open_source("csi://0")
    if sys.prefix != sys.base_prefix:
        assert "--system-site-packages" in str(error.value)


def test_picamera2_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(SourceError, match=r"does not load \(ValueError: numpy.dtype size changed\).*system's numpy"):
        open_source("csi://0")


HANGING = """
import faulthandler, sys
faulthandler.dump_traceback_later(60, exit=True)
sys.path.insert(0, sys.argv[1])
import fake_picamera2
sys.modules.update(fake_picamera2.modules())
fake_picamera2.scene.frames, fake_picamera2.scene.stop_hangs = 2, True
from fer_edge.program.own import owned
from fer_edge.sources import open_source
with owned():
    source = open_source("csi://0")
    source._stop_s = 0.1
    try:
        list(source if sys.argv[2] == "read" else ())
    except OSError as error:
        print(error)
    print("left")
"""


@pytest.mark.parametrize("how", ["read", "unread"])
def test_a_stop_that_hangs_does_not_hang_the_process(how: str) -> None:
    """In a process of its own: the error comes, the process ends by itself, with status 2 and not faulthandler's 1."""
    line = [sys.executable, "-c", HANGING, str(Path(__file__).parents[1]), how]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 2, done.stderr
    assert ("frontend timed out" in done.stdout) is (how == "read")
    assert "left" in done.stdout
    assert "did not stop in 0.1 s" in done.stderr


@given(st.integers(10**9, 10**15), st.integers(0, 10**15), st.integers(0, 10**10))
def test_sensor_time_is_on_the_monotonic_clock(monotonic_ns: int, suspended_ns: int, age_ns: int) -> None:
    boottime_ns = monotonic_ns + suspended_ns
    age_ns = min(age_ns, monotonic_ns)
    as_documented = picamera.sensor_time(boottime_ns - age_ns, monotonic_ns, boottime_ns)
    as_v4l2 = picamera.sensor_time(monotonic_ns - age_ns, monotonic_ns, boottime_ns)
    assert as_v4l2 == monotonic_ns - age_ns
    if suspended_ns > age_ns:  # else the two cannot be told apart, and the younger reading is taken
        assert as_documented == monotonic_ns - age_ns
    assert as_documented <= monotonic_ns
    assert picamera.sensor_time(boottime_ns + 5, monotonic_ns, boottime_ns) == monotonic_ns  # not from the future


def test_causes_are_told_to_the_innermost() -> None:
    try:
        try:
            raise OSError(16, "Device or resource busy")
        except OSError as error:
            raise RuntimeError("Camera __init__ sequence did not complete.") from error
    except RuntimeError as error:
        said = picamera.causes(error)
    assert said == "Camera __init__ sequence did not complete: [Errno 16] Device or resource busy"


def _first(source: object) -> Iterator[object]:
    for frame in source:  # type: ignore[attr-defined]
        yield frame
        source.close()  # type: ignore[attr-defined]
