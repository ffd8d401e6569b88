"""In the test machine: our picamera2 source on the real picamera2, libcamera and a real kernel driver (vimc)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import time
from pathlib import Path

from guest import PROJECT, PYTHON, check, finish, refused, sh

os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")

from fer_edge.sources import open_source
from fer_edge.sources.argus import GstreamerCamera
from fer_edge.sources.devices import find_cameras
from fer_edge.sources.live import LiveSource
from fer_edge.sources.open import parse_uri
from fer_edge.sources.options import CameraOptions
from fer_edge.sources.picamera import PicameraCamera, picamera_source

COLORS = ((255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255))
HOLD = """
import os, sys, time
os.environ["LIBCAMERA_LOG_LEVELS"] = "*:ERROR"
from picamera2 import Picamera2
camera = Picamera2(0)
print("held", flush=True)
time.sleep(600)
"""


def source(frame_s: float = 60) -> LiveSource:
    """Ours as it is; only the patience is that of an emulated machine."""
    camera = PicameraCamera("csi://0", 0, CameraOptions(640, 480), frame_s=frame_s)
    return LiveSource(camera, "csi://0", first_frame_s=300, stop_s=60)


def the_recorded_interface_is_that_of_the_real_package() -> str:
    data = PROJECT / "tests/device/data"
    spec = importlib.util.spec_from_file_location("record_picamera2", data / "record_picamera2.py")
    assert spec is not None
    assert spec.loader is not None
    recorder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recorder)
    from picamera2 import Picamera2
    from picamera2.request import CompletedRequest

    recorded = json.loads((data / "picamera2.json").read_text())
    assert recorder.interface(Picamera2, CompletedRequest) == recorded["interface"]
    import libcamera

    turned = libcamera.Transform(hflip=True, vflip=False)
    assert (turned.hflip, turned.vflip) == (True, False)
    return f"picamera2 {recorded['version']}"


def without_a_camera_it_is_said() -> str:
    said = refused(lambda: picamera_source(parse_uri("csi://0")))
    assert "libcamera finds none" in said, said
    return said


def the_driver_loads() -> str:
    sh("modprobe", "-a", "v4l2-tpg", "videobuf2-vmalloc", "videobuf2-dma-contig", "videobuf2-v4l2")
    sh("insmod", str(next(Path("/lib/modules").glob("*/extra/vimc.ko"))))
    time.sleep(1)
    # libcamera lists only devices that udev has seen to; no udevd runs here, so its notes are written for it
    notes = Path("/run/udev/data")
    notes.mkdir(parents=True)
    for numbers in (*Path("/sys/class/video4linux").glob("*/dev"), *Path("/sys/bus/media/devices").glob("*/dev")):
        (notes / f"c{numbers.read_text().strip()}").write_text("I:1\n")
    # picamera2 takes its buffers from the heap that Raspberry Pi OS has; here it is the system's
    Path("/dev/dma_heap/linux,cma").symlink_to("system")
    return f"{sorted(str(p) for p in Path('/dev').glob('media*'))} {[str(d) for d, _ in find_cameras()[0]]}"


def real_frames_are_red_green_blue() -> str:
    live = source()
    times, pixels = [], []
    for frame in live:
        assert frame.image.shape == (480, 640, 3)
        assert frame.image.flags.c_contiguous
        age = time.monotonic() - frame.t_capture_s
        assert -0.001 < age < 60, age
        times.append(frame.t_capture_s)
        pixels = [frame.image[400, 80 * bar + 40].tolist() for bar in range(1, 7)]
        if len(times) == 4:
            live.close()
    assert times == sorted(set(times)), times
    assert live.dropped >= 0
    for wanted, pixel in zip(COLORS, pixels, strict=True):
        assert [value > 96 for value in pixel] == [value > 0 for value in wanted], (wanted, pixel)
    return f"{live.description}; {len(times)} frames in {times[-1] - times[0]:.1f} s; bars {pixels}"


def it_can_be_taken_again() -> str:
    live = source()
    frame = next(iter(live))
    live.close()
    return f"frame {frame.index}"


def a_camera_that_gives_no_frame_is_one_line() -> str:
    """The driver is real, the patience is none: the time-out of the real package."""
    started = time.monotonic()
    said = refused(lambda: source(frame_s=0.001))
    assert "camera frontend timed out" in said, said
    return f"{time.monotonic() - started:.1f} s: {said}"


def a_busy_camera_names_its_owner() -> str:
    other = subprocess.Popen([PYTHON, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    try:
        said = refused(source)
    finally:
        other.kill()
        other.wait()
    assert f"(pid {other.pid}) holds /dev/media" in said, said
    return said


def gstreamer_frames_are_read_as_those_of_argus() -> str:
    pipeline = (
        "videotestsrc num-buffers=5 pattern=red ! video/x-raw, format=BGR, width=64, height=48, framerate=10/1 "
        "! appsink drop=true max-buffers=1 sync=false"
    )
    camera = GstreamerCamera("argus://0", pipeline, CameraOptions(64, 48, 10))
    camera.open()
    image, _ = camera.read()
    said = camera.description
    camera.close()
    assert image[24, 32].tolist() == [255, 0, 0], image[24, 32]
    why = refused(lambda: open_source("argus://0"))
    assert "this is no Jetson" in why, why
    return f"{said}; {why}"


check(the_recorded_interface_is_that_of_the_real_package)
check(without_a_camera_it_is_said)
check(the_driver_loads)
check(real_frames_are_red_green_blue)
check(it_can_be_taken_again)
check(a_camera_that_gives_no_frame_is_one_line)
check(a_busy_camera_names_its_owner)
check(gstreamer_frames_are_read_as_those_of_argus)
finish()
