"""Cameras: which is taken, what is said where none is, options, waiting, and what the V4L2 layer makes of devices."""

from __future__ import annotations

import errno
import itertools
import os
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.board import camera_nodes, identify
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import SourceError
from fer_edge.sources import argus, camera, devices, open_source, parse_uri, v4l2
from fer_edge.sources.live import StuckCamera
from fer_edge.sources.options import CameraOptions, camera_number, camera_options, differences

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]
CAPTURE = 0x1 | 0x0400_0000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("csi://0", CameraOptions()),
        ("csi://", CameraOptions()),
        ("csi://1?width=1280&height=720&fps=15&hflip=1", CameraOptions(1280, 720, 15, orientation=2)),
        ("csi://0?rotation=180", CameraOptions(orientation=3)),
        ("argus://0?rotation=90&hflip=1", CameraOptions(orientation=5)),
        ("v4l2:///dev/video2?fps=10", CameraOptions(fps=10)),
    ],
)
def test_options(text: str, wanted: CameraOptions) -> None:
    assert camera_options(parse_uri(text)) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("csi://0?width=641", "width is 641, expected an even number from 64 to 4096"),
        ("csi://0?height=8000", "height is 8000"),
        ("csi://0?fps=1000", "fps is 1000, expected 1 to 240"),
        ("argus://0?rotation=45", "rotation is 45, expected 0, 90, 180 or 270"),
        ("csi://0?hflip=2", "hflip is 2"),
        ("csi:///dev/video0", "expected its number, e.g. csi://0"),
        ("argus://front", "camera 'front'"),
        ("csi://99", "camera '99'"),
        ("v4l2:///dev/video0?flip=1", "unknown option 'flip'"),
    ],
)
def test_options_out_of_range_are_refused_before_a_device_is_touched(text: str, said: str) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        open_source(text)


def test_camera_numbers() -> None:
    assert [camera_number(parse_uri(text)) for text in ("csi://", "csi://0", "argus://3")] == [0, 0, 3]


def test_what_was_not_granted_is_said() -> None:
    wanted = CameraOptions(640, 480, 30)
    assert differences(wanted, 640, 480, 30.0) == ""
    assert differences(wanted, 640, 480, 0) == ""  # a driver that does not tell its rate
    assert differences(wanted, 640, 360, 25) == " (asked for 640x480, 30 fps)"


# -- which camera ------------------------------------------------------------------------------------------------------


def failing(name: str, message: str, calls: list[str]) -> camera.Attempt:
    def opened() -> camera.LiveSource:
        calls.append(name)
        raise SourceError(message)

    return camera.Attempt(name, opened)


def test_no_camera_names_every_way_and_why() -> None:
    calls: list[str] = []
    attempts = [
        failing("picamera2", "source csi://0: not installed", calls),
        failing("V4L2", "no /dev/video*", calls),
        failing("Argus", "source argus://0: this OpenCV has no GStreamer", calls),
    ]
    with pytest.raises(SourceError) as error:
        camera.find_camera(attempts)
    assert str(error.value) == (
        "no camera found; tried [1] picamera2: not installed; [2] V4L2: no /dev/video*; "
        "[3] Argus: this OpenCV has no GStreamer"
    )
    assert calls == ["picamera2", "V4L2", "Argus"]


def test_the_first_that_opens_is_taken_and_the_rest_left_alone() -> None:
    calls: list[str] = []
    taken = object()
    attempts = [
        failing("picamera2", "x", calls),
        camera.Attempt("V4L2", lambda: taken),  # type: ignore[arg-type, return-value]
        failing("Argus", "y", calls),
    ]
    assert camera.find_camera(attempts) is taken
    assert calls == ["picamera2"]
    assert [attempt.name for attempt in camera.standard_attempts()] == ["picamera2", "V4L2", "Argus"]


@given(st.integers(0, 1000))
def test_delays_grow_to_a_limit_with_jitter(seed: int) -> None:
    delays = list(itertools.islice(camera.backoff(random.Random(seed)), 12))
    whole = [min(2**i, 30) for i in range(12)]
    assert all(w / 2 <= delay <= w for w, delay in zip(whole, delays, strict=True))
    assert len(set(delays)) == 12


def test_where_one_way_hung_it_is_a_stuck_camera() -> None:
    """While it hangs only a new process can try it again: each further try would leave one more hung thread."""

    hung = threading.Thread()

    def stuck() -> camera.LiveSource:
        stuck = StuckCamera("source csi://0: no frame in 30 s")
        stuck.thread = hung
        raise stuck

    calls: list[str] = []
    attempts = [camera.Attempt("picamera2", stuck), failing("V4L2", "no /dev/video*", calls)]
    with pytest.raises(StuckCamera, match="tried \\[1\\] picamera2: no frame in 30 s; \\[2\\] V4L2: no") as error:
        camera.find_camera(attempts)
    assert error.value.thread is hung  # should it let go, this process tries again


def test_argus_is_tried_on_a_jetson_only(tmp_path: Path) -> None:
    assert not identify.is_jetson(tmp_path)
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    for content, jetson in (
        (b"raspberrypi,4-model-b\0brcm,bcm2711\0", False),
        (b"nvidia,p3768\0nvidia,tegra234\0", True),
    ):
        (tmp_path / "proc/device-tree/compatible").write_bytes(content)
        assert identify.is_jetson(tmp_path) is jetson


# -- V4L2 devices ------------------------------------------------------------------------------------------------------


def capability(driver: bytes, caps: int, device_caps: int, card: bytes = b"Cam") -> bytes:
    return struct.pack("<16s32s32sIII12x", driver, card, b"usb-1", 0x060C00, caps, device_caps)


def test_a_capability_is_that_of_the_node_not_of_the_whole_device() -> None:
    both = capability(b"uvcvideo", CAPTURE | 0x8000_0000, 0x0480_0000, b"HD Webcam C270\0junk")  # its metadata node
    node = devices.parse_capability(both)
    assert (node.driver, node.card, node.captures) == ("uvcvideo", "HD Webcam C270", False)
    assert devices.parse_capability(capability(b"old", CAPTURE, 0)).captures  # kernels before device_caps


def test_nodes_that_are_no_cameras_say_what_to_use() -> None:
    def unfit(driver: bytes, caps: int = CAPTURE) -> str | None:
        return devices.parse_capability(capability(driver, caps, caps)).unfit()

    assert unfit(b"uvcvideo") is None
    assert "csi://0" in (unfit(b"unicam") or "")
    assert "csi://0" in (unfit(b"rp1-cfe") or "")
    assert "argus://0" in (unfit(b"tegra-video") or "")
    assert "no capture device" in (unfit(b"bcm2835-isp") or "")
    assert "no capture device" in (unfit(b"uvcvideo", 0x1) or "")  # read() only, no streaming


def tree(root: Path, **index: int) -> Path:
    """A sysfs with these nodes and their places on their device."""
    for name, place in index.items():
        (root / "sys/class/video4linux" / name).mkdir(parents=True)
        (root / "sys/class/video4linux" / name / "index").write_text(f"{place}\n")
    return root


def asked(answers: dict[str, bytes | int]) -> Callable[[Path], devices.Capability]:
    def ask(device: Path) -> devices.Capability:
        answer = answers[device.name]
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return devices.parse_capability(answer)

    return ask


def test_cameras_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = tree(tmp_path, video10=0, video2=0, video3=1, video0=0, video4=0, video5=0)
    answers: dict[str, bytes | int] = {
        "video0": capability(b"unicam", CAPTURE, 0),
        "video2": capability(b"uvcvideo", CAPTURE, 0, b"Second"),
        "video4": errno.EACCES,
        "video5": errno.ENODEV,
        "video10": capability(b"uvcvideo", CAPTURE, 0, b"Tenth"),
    }
    found, reasons = devices.find_cameras(root, asked(answers))
    assert [(device.name, node.card) for device, node in found] == [("video2", "Second"), ("video10", "Tenth")]
    assert [re.sub(r"^.*/(video\d+)", r"\1", reason) for reason in reasons] == [
        "video0: gives raw sensor data (unicam); use csi://0",
        "video4: not permitted; sudo usermod -aG video $USER, then log in again",
        "video5: no device behind it (any more); plug the camera in",
    ]


def test_no_nodes_at_all(tmp_path: Path) -> None:
    assert devices.find_cameras(tmp_path) == (
        [],
        ["no /dev/video*: no camera is plugged in, or its driver is not loaded"],
    )


@pytest.mark.parametrize("name", ["/dev/null", "file", "folder"])
def test_asking_what_is_no_v4l2_device(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"^\[Errno \d+\] ") as error:
        devices.query(tmp_path / name)
    assert "\n" not in devices.explain(error.value, tmp_path / name)


def proc_tree(root: Path) -> Path:
    """A recorded /proc: what ls -l /proc/*/fd shows while libcamera-vid and a desktop's server run."""
    for pid, program, links in (
        (812, "wireplumber", ["/dev/null", "/dev/media3"]),
        (4242, "rpicam-vid", ["/dev/pts/0", "/dev/video0", "/dev/media0", "socket:[1]"]),
        (7, "kthread", []),
        (os.getpid(), "pytest", ["/dev/video0"]),
    ):
        (root / str(pid) / "fd").mkdir(parents=True)
        (root / str(pid) / "comm").write_text(program + "\n")
        for number, target in enumerate(links):
            (root / str(pid) / "fd" / str(number)).symlink_to(target)
    (root / "sys").mkdir()
    (root / "99").mkdir()  # ended between the listing and the look
    return root


def test_the_owner_of_a_device_is_named(tmp_path: Path) -> None:
    proc = proc_tree(tmp_path)
    assert camera_nodes.holders([r"/dev/video0"], proc) == (
        (camera_nodes.Holder(4242, "rpicam-vid", "/dev/video0"),),
        0,
    )
    assert camera_nodes.busy([r"/dev/media\d+", r"/dev/video\d+"], proc) == (
        "wireplumber (pid 812) holds /dev/media3, rpicam-vid (pid 4242) holds /dev/media0; stop it first"
    )
    assert "sudo fuser" in camera_nodes.busy([r"/dev/video9"], proc)
    assert camera_nodes.holders([r"/dev/video"], proc) == ((), 0)  # whole paths, not their beginnings


def test_a_real_process_that_holds_a_device_is_found() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        held = os.open("/dev/zero", os.O_RDONLY)
        os.write(writer, b"x")
        os.read(held, 1)
        while True:
            time.sleep(1)
    try:
        os.read(reader, 1)
        assert child in [holder.pid for holder in camera_nodes.holders(["/dev/zero"])[0]]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_v4l2_time_stamps() -> None:
    assert v4l2.capture_time(99.98, 100.0) == 99.98
    assert v4l2.capture_time(0.0, 100.0) == 100.0  # no stamp
    assert v4l2.capture_time(1.7e9, 100.0) == 100.0  # the wall clock
    assert v4l2.capture_time(100.01, 100.0) == 100.0  # not from the future


def test_v4l2_refuses_with_the_reason(tmp_path: Path) -> None:
    def refused(answer: bytes | int) -> str:
        (tmp_path / "video7").touch()
        camera_ = v4l2.V4l2Camera("v4l2://x", tmp_path / "video7", CameraOptions(), asked({"video7": answer}))
        with pytest.raises(SourceError) as error:
            camera_.open()
        camera_.close()
        return str(error.value)

    assert "usermod -aG video" in refused(errno.EACCES)
    assert "device rules of this service" in refused(errno.EPERM)  # no group helps there
    assert "use csi://0" in refused(capability(b"rp1-cfe", CAPTURE, 0))
    assert "no capture device" in refused(capability(b"uvcvideo", CAPTURE | 0x8000_0000, 0x0480_0000))


# -- Argus -------------------------------------------------------------------------------------------------------------


def test_the_argus_pipeline() -> None:
    assert argus.argus_pipeline(1, CameraOptions(1280, 720, 60, orientation=3)) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=1280, height=720, format=NV12, framerate=60/1 "
        "! nvvidconv flip-method=2 ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR "
        "! appsink drop=true max-buffers=1 sync=false"
    )


@pytest.mark.parametrize(
    ("options", "flip"),
    [
        *(("", 0), ("rotation=90", 3), ("rotation=180", 2), ("rotation=270", 1)),
        *(
            ("hflip=1", 4),
            ("vflip=1", 6),
            ("hflip=1&vflip=1", 2),
            ("rotation=90&hflip=1", 7),
            ("rotation=90&vflip=1", 5),
        ),
    ],
)
def test_how_argus_pictures_are_turned(options: str, flip: int) -> None:
    wanted = camera_options(parse_uri(f"argus://0?{options}"))
    assert f"flip-method={flip} " in argus.argus_pipeline(0, wanted)


def test_opencv_without_gstreamer_is_said() -> None:
    assert argus.has_gstreamer("  Video I/O:\n    GStreamer:                   YES (1.20.3)\n    v4l/v4l2:   YES")
    assert not argus.has_gstreamer("  Video I/O:\n    GStreamer:                   NO\n    v4l/v4l2:   YES")
    assert not argus.has_gstreamer("  Video I/O:\n    FFMPEG:                      YES\n")
    if argus.has_gstreamer(cv2.getBuildInformation()):
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(SourceError, match=r"no GStreamer.*apt install python3-opencv.*--system-site-packages"):
        open_source("argus://0")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("GST_ARGUS: ...\nError generated. Failed to create CaptureSession\n", "systemctl restart nvargus-daemon"),
        ("(Argus) Error: No cameras available", "ribbon cable"),
        ('GStreamer: no element "nvarguscamerasrc"', "JetPack"),
        ("Connecting to nvargus-daemon failed: Connection refused", "daemon is not running"),
        ("[ WARN:0@0.8] OpenCV | GStreamer warning: cannot find appsink in manual pipeline", "JetPack"),
        ("something else\n\n", "something else"),
        ("", "nothing was printed"),
    ],
)
def test_advice_from_what_argus_prints(printed: str, said: str) -> None:
    assert said in argus.advice(printed)
    assert "\n" not in argus.advice(printed)


def test_what_c_code_prints_does_not_stand_between_json_lines() -> None:
    code = (
        "import os, sys\nfrom fer_edge.program.own import keep_streams_clean\n"
        "from fer_edge.sources import argus\nkeep_streams_clean()\n"
        "os.write(1, b'GST_ARGUS: chatter\\n')\nprint('{}')\n"
        "with argus.captured(1, 2) as printed:\n"
        "    os.write(1, b'on one\\n'); os.write(2, b'on two\\n'); print('ours', file=sys.stderr)\n"
        "print(printed.decode().split())\n"
        "os.write(2, b'after\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{}\n['on', 'one', 'on', 'two']\n"
    assert done.stderr == "GST_ARGUS: chatter\nours\nafter\n"


def test_frames_of_a_real_gstreamer_pipeline() -> None:
    """Where OpenCV has GStreamer: the reading part of the Argus source on GStreamer's own test picture."""
    if not argus.has_gstreamer(cv2.getBuildInformation()):
        pytest.skip("this OpenCV has no GStreamer (pip's never has); tests/vm runs this with Debian's")
    pipeline = "videotestsrc num-buffers=3 pattern=red ! video/x-raw, format=BGR, width=64, height=48 ! appsink"
    source = argus.GstreamerCamera("argus://0", pipeline, CameraOptions(64, 48))
    source.open()
    image, _ = source.read()
    source.close()
    np.testing.assert_array_equal(image.reshape(-1, 3).mean(axis=0), [255, 0, 0])


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--camera", "--source", "csi://0"), "expected one of them"),
        ((), "no source; expected --source URI or --camera"),
    ],
)
def test_camera_or_source(edge: Edge, arguments: tuple[str, ...], said: str) -> None:
    done = edge("run", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_only_cameras_are_waited_for(edge: Edge, bundle: Bundle, one_line: OneLine) -> None:
    one_line(edge("run", "--source", "synthetic://", "--wait", "--bundle", bundle.path), "--wait", "is no camera")


def test_no_camera_is_one_line_and_waiting_ends_on_sigterm(bundle: Bundle, edge: Edge, one_line: OneLine) -> None:
    if devices.find_cameras()[0]:
        pytest.skip("there is a camera here")
    one_line(edge("run", "--camera", "--bundle", bundle.path), "no camera found", "picamera2", "V4L2", "Argus")
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--camera", "--wait", "--bundle", str(bundle.path)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=20)
    assert "waiting for a camera: no camera found" in first
    assert process.returncode == 0, rest
    assert len(rest.splitlines()) == 1, rest


def test_opencv_is_quiet_beside_our_line() -> None:
    code = (
        "from fer_edge.program.own import owned\nwith owned():\n"
        "    import cv2\n    from fer_edge.sources.opencv import opencv_warns\n"
        "    cv2.VideoCapture(63, cv2.CAP_V4L2)\n    print('', flush=True)\n"
        "    with opencv_warns():\n        cv2.VideoCapture(63, cv2.CAP_V4L2)\n"
        "    print('', flush=True)\n    cv2.VideoCapture(63, cv2.CAP_V4L2)\n"
    )
    if not hasattr(cv2, "setLogLevel"):
        pytest.skip("this OpenCV's log level cannot be set")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, env=environ)
    quiet, loud, quiet_again = re.split(r"^\n", done.stdout, flags=re.MULTILINE)
    assert (quiet, quiet_again) == ("", "")
    assert "by index" in loud
