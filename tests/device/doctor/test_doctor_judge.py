"""Doctor's judging, as tables: facts in, level and remedy out."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path

import pytest
import recorded_trees

from fer_edge.board import identify
from fer_edge.board.camera_nodes import Holder
from fer_edge.board.identify import Board, Cpu, L4t
from fer_edge.board.sensors import ThermalFacts, ThrottleFacts
from fer_edge.doctor import judge_camera, judge_machine, judge_onnx, judge_software
from fer_edge.doctor.facts import (
    BundleFacts,
    CameraFacts,
    ClockFacts,
    DeviceNode,
    DiskFacts,
    GovernorFacts,
    InferenceFacts,
    MemoryFacts,
    PackageFacts,
    PythonFacts,
    UserFacts,
    VideoNode,
)
from fer_edge.doctor.finding import Finding
from fer_edge.doctor.remedies import REMEDIES

PI4 = Board("Raspberry Pi 4 Model B Rev 1.4", "bcm2711", "raspberry-pi")
PI3 = Board("Raspberry Pi 3 Model B Plus Rev 1.3", "bcm2837", "raspberry-pi")
ORIN = Board("NVIDIA Jetson Orin Nano", "tegra234", "jetson")
PC = Board("LENOVO 20XW", "", "pc")

PYTHON = PythonFacts((3, 11, 2), 64, "aarch64", "/home/pi/v/bin/python", "/home/pi/v", "/usr", True, True, False)
OWN = dataclasses.replace(PYTHON, sees_system=False)
PYENV = dataclasses.replace(PYTHON, base_prefix="/home/pi/.pyenv/versions/3.11.7")
SYSTEM = dataclasses.replace(
    PYTHON, executable="/usr/bin/python3", prefix="/usr", in_venv=False, externally_managed=True
)
SMALL = dataclasses.replace(PYTHON, bits=32)
SMALL_313 = dataclasses.replace(SMALL, version=(3, 13, 5))

ABSENT = PackageFacts(problem="ModuleNotFoundError: No module named 'x'", is_absent=True)
KILLED = PackageFacts(problem="its import ended the process: SIGILL", signal="SIGILL")
NUMPY1 = PackageFacts("1.24.2", origin="system")
NUMPY2 = PackageFacts("2.2.6", origin="environment", distribution="numpy")
CV2 = PackageFacts("4.6.0", origin="system", has_gstreamer=True)
PIP_CV2 = PackageFacts("4.11.0", origin="environment", distribution="opencv-python-headless", has_gstreamer=False)
LITERT = PackageFacts("2.3.0", origin="environment", distribution="ai-edge-litert")
OLD_TFLITE = PackageFacts("2.14.0", origin="environment", distribution="tflite-runtime")
BUNDLE = BundleFacts(
    "/opt/bundle",
    "hawqc_mbv2",
    "0.1.0",
    "a" * 64,
    "int8",
    {"float32": "tflite-runtime 2.14.0", "dynamic": "ai-edge-litert 2.3.0", "int8": "tflite-runtime 2.14.0"},
)


def check(finding: Finding | None, expected: str, said: str = "") -> None:
    """``expected`` is "none", "ok", or "level remedy-key"."""
    if expected == "none":
        assert finding is None
        return
    assert finding is not None
    level, _, key = expected.partition(" ")
    assert finding.level == level, finding
    assert said in finding.found, finding
    if key:
        pattern = "".join(
            re.escape(p) if i % 2 == 0 else ".*" for i, p in enumerate(re.split(r"(\{\w+\})", REMEDIES[key]))
        )
        assert re.fullmatch(pattern, finding.remedy or ""), (finding, REMEDIES[key])
    assert not re.search(r"\{\w+\}", finding.remedy or ""), finding  # every place is filled in


@pytest.mark.parametrize(
    ("python", "expected", "said"),
    [
        (PYTHON, "ok", "sees apt's packages"),
        (OWN, "ok", "does not see apt's packages"),
        (PYENV, "ok", "does not see apt's packages"),
        (SYSTEM, "ok", "the system's"),
        (dataclasses.replace(PYTHON, version=(3, 10, 0)), "ok", "3.10.0"),
        (dataclasses.replace(PYTHON, version=(3, 13, 9)), "ok", "3.13.9"),
        (dataclasses.replace(PYTHON, version=(3, 9, 18)), "fail new-python", "expected 3.10 to 3.13"),
        (dataclasses.replace(PYTHON, version=(3, 14, 0)), "fail new-python", "3.14.0"),
        (SMALL, "ok", "32 bit"),
        (SMALL_313, "fail 64-bit-system", "on a aarch64 kernel"),
    ],
)
def test_python(python: PythonFacts, expected: str, said: str) -> None:
    check(judge_software.judge_python(python), expected, said)


@pytest.mark.parametrize(
    ("python", "numpy", "expected", "said"),
    [
        (PYTHON, NUMPY1, "ok", "1.24.2 from the system"),
        (PYTHON, NUMPY2, "ok", "numpy 2.2.6 from this environment"),
        (PYTHON, ABSENT, "fail apt", "not installed"),
        (OWN, ABSENT, "fail pip", ""),
        (PYENV, ABSENT, "fail pip", ""),
        (PYTHON, PackageFacts("1.23.5"), "fail pip", "expected 1.24 or newer"),
        (PYTHON, PackageFacts(problem="ImportError: libopenblas"), "fail reinstall", "libopenblas"),
        (PYTHON, KILLED, "fail illegal-instruction", "SIGILL"),
    ],
)
def test_numpy(python: PythonFacts, numpy: PackageFacts, expected: str, said: str) -> None:
    check(judge_software.judge_numpy(python, numpy), expected, said)


def test_numpy_for_python_313_is_one_that_exists_for_it() -> None:
    assert "'numpy>=1.24,<2'" in str(judge_software.judge_numpy(OWN, ABSENT).remedy)
    newest = dataclasses.replace(OWN, version=(3, 13, 5))
    assert "'numpy>=2.1'" in str(judge_software.judge_numpy(newest, ABSENT).remedy)


@pytest.mark.parametrize(
    ("python", "opencv", "numpy", "board", "expected", "said"),
    [
        (PYTHON, CV2, NUMPY1, PI4, "ok", "4.6.0 from the system with GStreamer"),
        (PYTHON, PIP_CV2, NUMPY1, PI4, "ok", "without GStreamer"),
        (PYTHON, PIP_CV2, NUMPY1, ORIN, "warn jetpack-opencv", "without GStreamer"),
        (PYTHON, CV2, NUMPY1, ORIN, "ok", ""),
        (PYTHON, ABSENT, NUMPY1, PI4, "fail apt", "not installed"),
        (OWN, ABSENT, NUMPY1, PI4, "fail pip", "not installed"),
        (PYTHON, PackageFacts("4.5.5"), NUMPY1, PI4, "fail pip", "expected 4.6 or newer"),
        (PYTHON, PackageFacts("5.0.0"), NUMPY2, PI4, "warn pip", "tested are 4.6 to 4.11"),
        (PYTHON, PackageFacts("4.12.0"), NUMPY2, PI4, "warn pip", ""),
        (
            PYTHON,
            PackageFacts(problem="ImportError: numpy.core.multiarray failed to import"),
            NUMPY2,
            PI4,
            "fail drop-own-numpy",
            "it was built for numpy 1",
        ),
        (
            OWN,
            PackageFacts(problem="ImportError: numpy.core.multiarray failed to import"),
            NUMPY2,
            PI4,
            "fail numpy-below-2",
            "",
        ),
        (PYTHON, PackageFacts(problem="ImportError: libGL.so.1"), NUMPY1, PI4, "fail reinstall", "libGL"),
        (
            PYTHON,
            PackageFacts("4.11.0", distribution="opencv-python-headless", rivals=("opencv-python 4.10.0.84",)),
            NUMPY1,
            PI4,
            "warn one-opencv",
            "opencv-python 4.10.0.84 is installed over or under it",
        ),
        (PYTHON, KILLED, NUMPY1, PI4, "fail illegal-instruction", ""),
    ],
)
def test_opencv(
    python: PythonFacts, opencv: PackageFacts, numpy: PackageFacts, board: Board, expected: str, said: str
) -> None:
    check(judge_software.judge_opencv(python, opencv, numpy, board), expected, said)


@pytest.mark.parametrize(
    ("python", "interpreter", "numpy", "expected", "said"),
    [
        (PYTHON, LITERT, NUMPY1, "ok", "ai-edge-litert 2.3.0"),
        (PYTHON, LITERT, NUMPY2, "ok", ""),
        (PYTHON, OLD_TFLITE, NUMPY1, "warn update-interpreter", "dynamic needs ai-edge-litert 2.3.0"),
        (PYTHON, OLD_TFLITE, NUMPY2, "fail drop-own-numpy", "with numpy 2.2.6"),
        (OWN, OLD_TFLITE, NUMPY2, "fail numpy-below-2", "expected numpy 1"),
        (PYTHON, dataclasses.replace(LITERT, version="2.1.0"), NUMPY1, "warn update-interpreter", "dynamic needs"),
        (PYTHON, ABSENT, NUMPY1, "fail pip", "none is installed"),
        (SYSTEM, ABSENT, NUMPY1, "fail venv-pip", ""),
        (SMALL, ABSENT, NUMPY1, "fail 32-bit-interpreter", ""),
        (SMALL_313, ABSENT, NUMPY2, "fail 64-bit-system", ""),
        (SMALL, OLD_TFLITE, NUMPY1, "ok", "which 32 bit does not have"),
        (SMALL, PackageFacts(problem="ImportError: libstdc++"), NUMPY1, "fail reinstall", "libstdc++"),
        (PYTHON, PackageFacts(problem="ImportError: broken"), NUMPY1, "fail reinstall", "broken"),
        (SYSTEM, PackageFacts(problem="ImportError: broken"), NUMPY1, "fail venv-pip", "broken"),
        (PYTHON, KILLED, NUMPY1, "fail illegal-instruction", ""),
    ],
)
def test_interpreter(
    python: PythonFacts, interpreter: PackageFacts, numpy: PackageFacts, expected: str, said: str
) -> None:
    check(judge_software.judge_interpreter(python, interpreter, numpy, BUNDLE), expected, said)


def test_an_interpreter_too_old_for_the_default_variant() -> None:
    newest = dataclasses.replace(BUNDLE, default_variant="dynamic")
    finding = judge_software.judge_interpreter(PYTHON, OLD_TFLITE, NUMPY1, newest)
    check(finding, "fail update-interpreter", "dynamic needs")
    assert "--variant float32" in str(finding.remedy)
    check(judge_software.judge_interpreter(SMALL, OLD_TFLITE, NUMPY1, newest), "fail other-variant")
    only = dataclasses.replace(newest, min_runtimes={"dynamic": "ai-edge-litert 2.3.0"})
    check(judge_software.judge_interpreter(PYTHON, OLD_TFLITE, NUMPY1, only), "fail no-variant-fits")


def test_installing_the_interpreter_keeps_the_numpy_that_is_there() -> None:
    """ai-edge-litert's ml-dtypes asks for numpy 2, which breaks apt's OpenCV and simplejpeg (seen on bookworm)."""
    assert "numpy==1.24.2" in str(judge_software.judge_interpreter(PYTHON, ABSENT, NUMPY1, BUNDLE).remedy)
    assert "numpy==1.24.2" in str(judge_software.judge_interpreter(PYTHON, OLD_TFLITE, NUMPY1, BUNDLE).remedy)
    assert "numpy==1.24.2" in str(judge_software.judge_interpreter(SMALL, ABSENT, NUMPY1, BUNDLE).remedy)
    assert "'numpy<2'" in str(judge_software.judge_interpreter(SMALL, ABSENT, NUMPY2, BUNDLE).remedy)


@pytest.mark.parametrize(
    ("bundle", "expected", "said"),
    [
        (BUNDLE, "ok", "hawqc_mbv2 0.1.0 in /opt/bundle, aaaaaaaaaaaa, default variant int8 of float32, dynamic, int8"),
        (BundleFacts(problem="bundle: not given; name one", is_missing=True), "fail get-bundle", "bundle: not given"),
        (BundleFacts("/b", problem="bundle /b: x is damaged; copy it"), "fail recopy-bundle", "x is damaged"),
    ],
)
def test_bundle(bundle: BundleFacts, expected: str, said: str) -> None:
    finding = judge_software.judge_bundle(bundle)
    check(finding, expected, said)
    assert "; " not in finding.found  # one remedy, not two


ALL_RAN = {"int8": "", "float32": "", "dynamic": ""}


@pytest.mark.parametrize(
    ("interpreter", "inference", "expected", "said"),
    [
        (LITERT, InferenceFacts(ALL_RAN), "ok", "float32, dynamic, int8 loaded and run once"),
        (LITERT, InferenceFacts(ALL_RAN | {"int8": "RunnerError: no"}), "fail update-interpreter", "int8: RunnerError"),
        (LITERT, InferenceFacts(ALL_RAN | {"float32": "no"}), "warn update-interpreter", "float32: no"),
        (LITERT, InferenceFacts(dict.fromkeys(ALL_RAN, "no")), "fail no-variant-fits", "no"),
        (LITERT, InferenceFacts({}, "SIGILL"), "fail illegal-instruction", "int8: ended the process: SIGILL"),
        (
            LITERT,
            InferenceFacts({"int8": ""}, "SIGSEGV"),
            "fail illegal-instruction",
            "int8 loaded and run once; float32",
        ),
        (LITERT, InferenceFacts({}, "no answer in 120 s"), "fail no-variant-fits", "no answer"),
        (OLD_TFLITE, InferenceFacts(ALL_RAN | {"dynamic": "too new"}), "ok", "float32, int8 loaded"),
        (ABSENT, None, "none", ""),
        (LITERT, None, "none", ""),
    ],
)
def test_inference(interpreter: PackageFacts, inference: InferenceFacts | None, expected: str, said: str) -> None:
    check(judge_software.judge_inference(PYTHON, interpreter, NUMPY1, BUNDLE, inference), expected, said)


def test_inference_leaves_a_wrong_numpy_to_the_interpreters_line() -> None:
    broken = InferenceFacts(dict.fromkeys(ALL_RAN, "SystemError"))
    check(judge_software.judge_inference(PYTHON, OLD_TFLITE, NUMPY2, BUNDLE, broken), "none")


@pytest.mark.parametrize(
    ("python", "simplejpeg", "numpy", "expected"),
    [
        (PYTHON, ABSENT, NUMPY2, "none"),
        (PYTHON, PackageFacts("1.6.6", origin="system"), NUMPY1, "ok"),
        (PYTHON, PackageFacts(problem="ValueError: numpy.dtype size changed"), NUMPY2, "fail drop-own-numpy"),
        (OWN, PackageFacts(problem="ValueError: numpy.dtype size changed"), NUMPY2, "fail numpy-below-2"),
    ],
)
def test_simplejpeg(python: PythonFacts, simplejpeg: PackageFacts, numpy: PackageFacts, expected: str) -> None:
    check(judge_software.judge_simplejpeg(python, simplejpeg, numpy), expected)


WITH_ONNX = BundleFacts(
    default_variant="int8", min_runtimes={"int8": "tflite-runtime 2.14.0", "onnx_fp16": "onnxruntime 1.17.0"}
)
ORT = PackageFacts("1.31.1", origin="environment", distribution="onnxruntime", providers=("CPUExecutionProvider",))
ORT_GPU = dataclasses.replace(
    ORT,
    version="1.23.0",
    distribution="onnxruntime-gpu",
    providers=("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
)


@pytest.mark.parametrize(
    ("onnx", "bundle", "tree", "expected", "said"),
    [
        (ORT, WITH_ONNX, "pi5", "ok", "1.31.1 from this environment, providers CPU"),
        (ORT_GPU, WITH_ONNX, "orin_nano_jp6", "ok", "providers Tensorrt, CUDA, CPU"),
        (ORT, WITH_ONNX, "orin_nano_jp6", "warn jetson-onnxruntime", "an NVIDIA GPU that it cannot use"),
        (ABSENT, WITH_ONNX, "orin_nano_jp6", "warn jetson-onnxruntime", "the bundle has onnx_fp16 for it"),
        (ABSENT, WITH_ONNX, "pi5", "warn pip", "not installed; the bundle has onnx_fp16"),
        (ABSENT, dataclasses.replace(WITH_ONNX, default_variant="onnx_fp16"), "pi5", "fail pip", "not installed"),
        (KILLED, WITH_ONNX, "pi5", "warn pip", "SIGILL"),
        (
            dataclasses.replace(ORT, version="1.16.3"),
            WITH_ONNX,
            "pi5",
            "warn pip",
            "onnx_fp16 needs onnxruntime 1.17.0",
        ),
        (
            dataclasses.replace(ORT, rivals=("onnxruntime-gpu",)),
            WITH_ONNX,
            "pi5",
            "warn one-onnxruntime",
            "each other's files",
        ),
    ],
)
def test_onnxruntime(
    onnx: PackageFacts, bundle: BundleFacts, tree: str, expected: str, said: str, tmp_path: Path
) -> None:
    """The boards are recorded trees; their onnxruntimes are data."""
    root = recorded_trees.unpack(tree, tmp_path)
    where = (identify.identify(root), identify.l4t(root), identify.has_nvidia_gpu(root))
    check(judge_onnx.judge_onnxruntime(PYTHON, onnx, NUMPY2, bundle, *where), expected, said)


def test_onnxruntime_is_of_no_concern_to_a_bundle_without_it() -> None:
    plain = BundleFacts(default_variant="int8", min_runtimes={"int8": "tflite-runtime 2.14.0"})
    assert judge_onnx.judge_onnxruntime(PYTHON, ABSENT, NUMPY2, plain, PI4, None, False) is None
    assert judge_onnx.judge_provider(plain, InferenceFacts({"int8": ""})) is None


def test_a_silent_fall_back_to_the_cpu_is_a_warning() -> None:
    why = (
        "CUDAExecutionProvider was meant and did not start (libcublas.so.12 not found); it runs on CPUExecutionProvider"
    )
    ran = InferenceFacts({"int8": "", "onnx_fp16": ""}, lacks={"onnx_fp16": why})
    check(judge_onnx.judge_provider(WITH_ONNX, ran), "warn provider", f"onnx_fp16: {why}")
    check(judge_onnx.judge_provider(WITH_ONNX, dataclasses.replace(ran, lacks={})), "ok", "onnx_fp16 run where")
    on_cuda = dataclasses.replace(ran, lacks={}, ran_on={"onnx_fp16": "CUDAExecutionProvider"})
    check(judge_onnx.judge_provider(WITH_ONNX, on_cuda), "ok", "run where they were meant to: CUDA")


def test_inference_leaves_a_missing_onnxruntime_to_its_own_line() -> None:
    ran = InferenceFacts({"int8": "", "onnx_fp16": "RunnerError: onnxruntime: cannot be imported"})
    found = judge_software.judge_inference(PYTHON, LITERT, NUMPY2, WITH_ONNX, ran, has_onnx=False)
    check(found, "ok", "int8 loaded and run once")
    check(
        judge_software.judge_inference(PYTHON, LITERT, NUMPY2, WITH_ONNX, ran), "warn update-interpreter", "onnx_fp16:"
    )


def test_disk() -> None:
    check(judge_software.judge_disk(DiskFacts("/opt", 10**9)), "ok", "1,000 MB free in /opt")
    check(judge_software.judge_disk(DiskFacts("/opt/b b", 10**8)), "warn free-disk", "expected 200 MB")
    assert "'/opt/b b'" in str(judge_software.judge_disk(DiskFacts("/opt/b b", 10**8)).remedy)


def node(path: str, group: str = "video", is_accessible: bool = True) -> DeviceNode:
    return DeviceNode(path, group, is_accessible)


def camera(*video: tuple[str, int], **changes: object) -> CameraFacts:
    nodes = tuple(VideoNode(node(f"/dev/video{i}"), name, index) for i, (name, index) in enumerate(video))
    return dataclasses.replace(CameraFacts(nodes, (), (), (), 0, "", "", "", False), **changes)  # type: ignore[arg-type]


CSI = camera(("unicam-image", 0), ("unicam-embedded", 1))
USB = camera(("USB 2.0 Camera: HD", 0), ("USB 2.0 Camera: HD", 1))
CODECS = camera(("bcm2835-codec-decode", 0), ("bcm2835-isp-capture0", 0), ("rpivid", 0), ("pispbe-input", 0))


@pytest.mark.parametrize(
    ("name", "index", "kind"),
    [
        ("unicam-image", 0, "csi"),
        ("unicam", 0, "csi"),
        ("unicam-embedded", 1, ""),
        ("rp1-cfe-csi2_ch0", 0, "csi"),
        ("rp1-cfe-csi2-ch0", 0, "csi"),
        ("rp1-cfe-csi2_ch2", 2, ""),
        ("rp1-cfe-fe_image0", 0, ""),
        ("vi-output, imx219 9-0010", 0, "csi"),
        ("rpi-hevc-dec", 0, ""),
        ("Integrated Camera: Integrated C", 0, "usb"),
        ("Integrated Camera: Integrated C", 1, ""),
    ],
)
def test_camera_kind(name: str, index: int, kind: str) -> None:
    assert judge_camera.camera_kind(VideoNode(node("/dev/video0"), name, index)) == kind


@pytest.mark.parametrize(
    ("facts", "board", "expected", "said"),
    [
        (CSI, PI4, "ok", "/dev/video0 unicam-image (csi)"),
        (USB, PC, "ok", "/dev/video0 USB 2.0 Camera: HD (usb)"),
        (CODECS, PI4, "warn csi-cable", "4 video nodes belong to codecs"),
        (camera(), PC, "warn synthetic", "none found"),
        (camera(), ORIN, "warn synthetic", "none found"),
    ],
)
def test_camera(facts: CameraFacts, board: Board, expected: str, said: str) -> None:
    check(judge_camera.judge_camera(facts, board), expected, said)


USER = UserFacts("pi", False, ("pi", "sudo"), ())
CLOSED = camera(media=(node("/dev/media0", "video", False),))
HEAP = camera(dma_heaps=(node("/dev/dma_heap/system", "root", False),))


@pytest.mark.parametrize(
    ("facts", "user", "board", "expected", "said"),
    [
        (USB, USER, PC, "ok", "pi, in pi, sudo: may open all 1 camera devices"),
        (camera(), USER, PC, "ok", "no camera devices"),
        (CLOSED, USER, PI4, "fail usermod", "may not open /dev/media0"),
        (CLOSED, dataclasses.replace(USER, granted=("video",)), PI4, "fail relogin", ""),
        (HEAP, USER, PI4, "fail udev-dma-heap", "/dev/dma_heap/system"),
        (HEAP, USER, PC, "ok", ""),  # only picamera2 needs it
    ],
)
def test_groups(facts: CameraFacts, user: UserFacts, board: Board, expected: str, said: str) -> None:
    check(judge_camera.judge_groups(facts, user, board), expected, said)


def test_groups_names_every_group_that_is_missing() -> None:
    heap = node("/dev/dma_heap/system", "render", False)
    finding = judge_camera.judge_groups(dataclasses.replace(CLOSED, dma_heaps=(heap,)), USER, PI4)
    assert "usermod -aG render,video" in str(finding.remedy)


@pytest.mark.parametrize(
    ("facts", "python", "board", "expected"),
    [
        (USB, PYTHON, PC, "none"),
        (dataclasses.replace(CSI, picamera2="/p", libcamera="/l"), PYTHON, PI4, "ok"),
        (USB, PYTHON, PI4, "warn apt-picamera2"),
        (CSI, PYTHON, PI4, "fail apt-picamera2"),
        (dataclasses.replace(CSI, picamera2="/p"), PYTHON, PI4, "fail apt-picamera2"),
        (dataclasses.replace(CSI, system_picamera2="/usr/p"), OWN, PI4, "fail venv-system-packages"),
        (dataclasses.replace(USB, system_picamera2="/usr/p"), OWN, PI4, "warn venv-system-packages"),
        (dataclasses.replace(CSI, system_picamera2="/usr/p"), PYENV, PI4, "fail system-python-venv"),
    ],
)
def test_picamera2(facts: CameraFacts, python: PythonFacts, board: Board, expected: str) -> None:
    check(judge_camera.judge_picamera2(facts, python, board), expected)


@pytest.mark.parametrize(
    ("holders", "n_hidden", "expected", "said"),
    [
        ((), 0, "ok", "no process holds a camera device"),
        ((), 3, "ok", "not looked into: 3"),
        ((Holder(7, "wireplumber", "/dev/media0"),), 0, "ok", "only pipewire"),
        ((Holder(7, "motion", "/dev/video0"), Holder(7, "motion", "/dev/media0")), 0, "warn kill-holder", "motion (7)"),
    ],
)
def test_holders(holders: tuple[Holder, ...], n_hidden: int, expected: str, said: str) -> None:
    finding = judge_camera.judge_holders(camera(holders=holders, n_hidden_processes=n_hidden))
    check(finding, expected, said)
    if finding.level == "warn":
        assert "`kill 7`" in str(finding.remedy)


def test_nvargus() -> None:
    check(judge_camera.judge_nvargus(camera(), PI4), "none")
    check(judge_camera.judge_nvargus(camera(nvargus_runs=True), ORIN), "ok")
    check(judge_camera.judge_nvargus(camera(), ORIN), "warn restart-nvargus")


@pytest.mark.parametrize(
    ("board", "l4t", "expected", "said"),
    [
        (PI4, None, "ok", "Raspberry Pi 4 Model B Rev 1.4, Linux 6.6, bcm2711"),
        (PC, None, "ok", "LENOVO"),
        (Board("Radxa ROCK 5B", "rk3588", "unknown"), None, "ok", "unknown board: works all the same"),
        (ORIN, L4t(36, "4.3", "6"), "ok", "L4T R36.4.3 (JetPack 6)"),
        (ORIN, L4t(99, "0.0", ""), "ok", "a release unknown here"),
        (ORIN, L4t(35, "4.1", "5"), "warn jetpack-6", "JetPack 5"),
    ],
)
def test_board(board: Board, l4t: L4t | None, expected: str, said: str) -> None:
    check(judge_machine.judge_board(board, "6.6", l4t), expected, said)


def test_cpu() -> None:
    check(judge_machine.judge_cpu(Cpu("Cortex-A76", 4, True)), "ok", "4 x Cortex-A76, int8 dot products")
    check(judge_machine.judge_cpu(Cpu("Cortex-A53", 4, False)), "ok", "no int8 dot products")


MB = 1_000_000
MEMORY = MemoryFacts(1000 * MB, 500 * MB, 100 * MB, 100 * MB, False, None, None, True)


@pytest.mark.parametrize(
    ("changes", "expected", "said"),
    [
        ({}, "ok", "500 MB of 1,000 MB available, swap 100 MB of 100 MB free"),
        ({"swap_total_bytes": 0, "swap_free_bytes": 0}, "ok", "no swap"),
        ({"has_zram": True}, "ok", "(zram)"),
        ({"has_memory_cgroup": False}, "ok", "memory cgroup off"),
        ({"available_bytes": 119 * MB}, "warn free-memory", "a run needs about 120 MB"),
        ({"available_bytes": 119 * MB, "swap_free_bytes": 0}, "fail free-memory", ""),
        ({"available_bytes": 120 * MB, "swap_free_bytes": 0}, "ok", ""),
    ],
)
def test_memory(changes: dict[str, int], expected: str, said: str) -> None:
    check(judge_machine.judge_memory(dataclasses.replace(MEMORY, **changes)), expected, said)  # type: ignore[arg-type]


def test_cma() -> None:
    big = dataclasses.replace(MEMORY, cma_total_bytes=64 * 1024**2, cma_free_bytes=10)
    check(judge_machine.judge_cma(big, PI4), "ok", "67 MB")
    check(judge_machine.judge_cma(dataclasses.replace(big, cma_total_bytes=32 * MB), PI4), "warn cma", "32 MB")
    check(judge_machine.judge_cma(big, ORIN), "none")
    check(judge_machine.judge_cma(MEMORY, PI4), "none")


@pytest.mark.parametrize(
    ("zones", "board", "expected", "said"),
    [
        ({"cpu-thermal": 51.5}, PI4, "ok", "52 °C (cpu-thermal) (left out: PMIC-Die)"),
        ({"a": 40.0, "b": 81.0}, PI4, "warn cool", "81 °C (b)"),
        ({"cpu-thermal": 61.0}, PI4, "ok", ""),
        ({"cpu-thermal": 61.0}, PI3, "warn cool", "from 60 °C"),
        ({}, PC, "ok", "no sensor here"),
    ],
)
def test_temperature(zones: dict[str, float], board: Board, expected: str, said: str) -> None:
    check(judge_machine.judge_temperature(ThermalFacts(zones, ("PMIC-Die",)), board), expected, said)


QUIET = ThrottleFacts(None, "", None, {}, "")


@pytest.mark.parametrize(
    ("changes", "user", "board", "expected", "said"),
    [
        ({"flags": 0}, USER, PI4, "ok", "none now, none since the start"),
        ({"flags": 0x50005}, USER, PI4, "warn power-supply", "under-voltage now, throttled now"),
        ({"flags": 0x10000}, USER, PI4, "warn power-supply", "under-voltage since the start"),
        ({"flags": 0xE0008}, USER, PI4, "warn cool", "soft temperature limit now, frequency capped since the start"),
        ({"under_voltage_alarm": True}, USER, PI4, "warn power-supply", "alarm of the kernel"),
        ({"under_voltage_alarm": False}, USER, PI4, "ok", "none"),
        ({"over_current_counts": {"oc1": 0, "oc3": 2}}, USER, ORIN, "warn power-supply", "over-current oc3: 2"),
        ({"over_current_counts": {"oc1": 0}, "power_mode": "25W"}, USER, ORIN, "ok", "none, power mode 25W"),
        ({"power_mode": "MAXN"}, USER, ORIN, "ok", "power mode MAXN"),
        ({"flags_problem": "Can't open /dev/vcio"}, USER, PI4, "warn usermod", "/dev/vcio"),
        (
            {"flags_problem": "Can't open /dev/vcio"},
            dataclasses.replace(USER, granted=("video",)),
            PI4,
            "warn relogin",
            "",
        ),
        ({"flags_problem": "VCHI failed"}, dataclasses.replace(USER, is_root=True), PI4, "warn report", "VCHI"),
        ({}, USER, PI4, "ok", "no sensor here"),
        ({}, USER, PC, "none", ""),
    ],
)
def test_throttling(changes: dict[str, object], user: UserFacts, board: Board, expected: str, said: str) -> None:
    facts = dataclasses.replace(QUIET, **changes)  # type: ignore[arg-type]
    check(judge_machine.judge_throttling(facts, user, board), expected, said)


def test_what_is_so_now_is_not_told_again_as_past() -> None:
    finding = judge_machine.judge_throttling(dataclasses.replace(QUIET, flags=0x70005), USER, PI4)
    assert finding is not None
    assert finding.found == "under-voltage now, throttled now, frequency capped since the start"


@pytest.mark.parametrize(
    ("governor", "expected"),
    [
        (GovernorFacts("ondemand", "cpufreq-dt", ()), "ok"),
        (GovernorFacts("powersave", "cpufreq-dt", ("performance", "ondemand", "powersave")), "warn governor"),
        (GovernorFacts("powersave", "intel_pstate", ("performance", "powersave")), "ok"),
        (GovernorFacts("unknown", "", ()), "none"),
    ],
)
def test_governor(governor: GovernorFacts, expected: str) -> None:
    finding = judge_machine.judge_governor(governor)
    check(finding, expected)
    if finding and finding.remedy:
        assert "echo ondemand | sudo tee" in finding.remedy


def test_clock() -> None:
    def at(year: int) -> ClockFacts:
        return ClockFacts(datetime.datetime(year, 6, 1, tzinfo=datetime.timezone.utc))

    check(judge_machine.judge_clock(at(2026)), "ok", "2026-06-01 00:00 UTC")
    check(judge_machine.judge_clock(at(1970)), "warn set-clock", "not set")


def test_a_problem_without_a_remedy_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="x: fail"):
        Finding("fail", "x", "broken")
    with pytest.raises(ValueError, match="x: ok"):
        Finding("ok", "x", "fine", "do this")


def test_every_remedy_says_how_it_was_tried() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", (recorded_trees.TREES / "REMEDIES.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(REMEDIES)
