"""Doctor's probes: on recorded trees, and for what is imported or run, on real packages, networks and processes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import device_helpers as helpers
import pytest
import recorded_trees

from fer_edge.board import commands, sensors
from fer_edge.board.camera_nodes import Holder
from fer_edge.board.sensors import ThrottleFacts
from fer_edge.contract.bundle import Bundle
from fer_edge.doctor import probe_camera, probe_machine, probe_software
from fer_edge.doctor.child import ask
from fer_edge.doctor.facts import GovernorFacts, PackageFacts
from fer_edge.doctor.judge_camera import camera_kind


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where a test unpacks its board."""
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("pi3", ThrottleFacts(0x80008, "", False, {}, "")),
        ("pi4", ThrottleFacts(0x50005, "", True, {}, "")),
        ("pi5", ThrottleFacts(0, "", False, {}, "")),
        ("orin_nano_jp6", ThrottleFacts(None, "", None, {"oc1": 0, "oc2": 0, "oc3": 17}, "25W")),
        ("nano_jp4", ThrottleFacts(None, "", None, {}, "MAXN")),
        ("pc", ThrottleFacts(None, "", None, {}, "")),
    ],
)
def test_throttling(board: str, expected: ThrottleFacts, tree: Path) -> None:
    root = recorded_trees.unpack(board, tree)
    assert sensors.throttle_facts(root, commands.recorded(root)) == expected


def test_a_vcgencmd_that_may_not_ask_the_firmware_is_quoted(tree: Path) -> None:
    root = recorded_trees.unpack("zero2w", tree)
    facts = sensors.throttle_facts(root, commands.recorded(root))
    assert facts.flags is None
    assert facts.flags_problem.startswith("Can't open device file: /dev/vcio")


def test_temperatures_leave_out_what_does_not_answer_and_what_is_fixed(tree: Path) -> None:
    orin = sensors.thermal_facts(recorded_trees.unpack("orin_nano_jp6", tree / "orin"))
    assert orin.zones_c["tj-thermal"] == 47.125
    assert orin.left_out == ("gpu-thermal", "cv0-thermal", "cv1-thermal", "cv2-thermal")
    nano = sensors.thermal_facts(recorded_trees.unpack("nano_jp4", tree / "nano"))
    assert "PMIC-Die" in nano.left_out
    assert max(nano.zones_c.values()) == 44.5


@pytest.mark.parametrize(
    ("board", "total_kib", "cma_kib", "has_zram", "has_cgroup"),
    [
        ("pi3", 931424, 262144, False, False),
        ("pi5", 8255568, 65536, True, True),
        ("zero2w", 426068, 262144, True, False),  # cgroup v1's table
        ("nano_jp4", 4059292, 475136, True, True),
        ("pc", 16106000, None, False, True),
    ],
)
def test_memory(board: str, total_kib: int, cma_kib: int | None, has_zram: bool, has_cgroup: bool, tree: Path) -> None:
    memory = probe_machine.memory_facts(recorded_trees.unpack(board, tree))
    assert memory.total_bytes == total_kib * 1024
    assert memory.cma_total_bytes == (cma_kib * 1024 if cma_kib else None)
    assert memory.has_zram is has_zram
    assert memory.has_memory_cgroup is has_cgroup
    with pytest.raises(ValueError, match="/proc/meminfo"):
        probe_machine.memory_facts(tree / "nothing")


def test_governor(tree: Path) -> None:
    facts = probe_machine.governor_facts(recorded_trees.unpack("pc", tree))
    assert facts == GovernorFacts("powersave", "intel_pstate", ("performance", "powersave"))


@pytest.mark.parametrize(
    ("board", "cameras"),
    [
        ("pi3", {"/dev/video0": "usb"}),
        ("pi4", {"/dev/video0": "csi"}),
        ("pi5", {"/dev/video0": "csi"}),
        ("zero2w", {}),
        ("nano_jp4", {"/dev/video0": "csi"}),
        ("orin_nano_jp6", {}),
        ("pc", {"/dev/video0": "usb"}),
    ],
)
def test_cameras_among_the_video_nodes(board: str, cameras: dict[str, str], tree: Path) -> None:
    facts = probe_camera.camera_facts(recorded_trees.unpack(board, tree))
    assert {node.device.path: kind for node in facts.video if (kind := camera_kind(node))} == cameras


def test_holders_libraries_and_daemons(tree: Path) -> None:
    pi4 = probe_camera.camera_facts(recorded_trees.unpack("pi4", tree / "pi4"))
    assert pi4.holders == (
        Holder(1200, "wireplumber", "/dev/media3"),
        Holder(1873, "python3", "/dev/media3"),
        Holder(1873, "python3", "/dev/video0"),
    )
    assert pi4.system_picamera2.endswith("dist-packages/picamera2")
    assert [heap.path.rpartition("/")[2] for heap in pi4.dma_heaps] == ["linux,cma", "system", "vidbuf_cached"]
    assert probe_camera.camera_facts(recorded_trees.unpack("nano_jp4", tree / "nano")).nvargus_runs
    assert not probe_camera.camera_facts(recorded_trees.unpack("orin_nano_jp6", tree / "orin")).nvargus_runs


def test_groups_that_the_next_login_brings(tmp_path: Path) -> None:
    name = probe_camera.user_facts(tmp_path).name
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text(f"video:x:44:other,{name}\nrender:x:105:\nx{name}:x:9:other\n")
    assert probe_camera.user_facts(tmp_path).granted == ("video",)


def test_commands_are_run_or_replayed(tmp_path: Path) -> None:
    assert commands.run(sys.executable, "-c", "print('throttled=0x0')") == "throttled=0x0"
    assert commands.run(sys.executable, "-c", "import sys; sys.exit('no')") == "no"
    with pytest.raises(FileNotFoundError):
        commands.run("no-such-command-here")
    with pytest.raises(FileNotFoundError):
        commands.recorded(tmp_path)("vcgencmd", "get_throttled")


def package(folder: Path, name: str, code: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("__version__ = '1.2'; print('hello')", {"version": "1.2"}),
        ("import no_such_module_here", {"problem": "ModuleNotFoundError: No module named 'no_such_module_here'"}),
        (
            "raise ValueError('numpy.dtype size changed')",
            {"problem": "ValueError: numpy.dtype size changed", "is_absent": False},
        ),
        ("raise SystemExit(3)", {}),
    ],
)
def test_an_import_in_a_child(
    code: str, expected: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "tried_by_doctor", code)
    monkeypatch.syspath_prepend(str(tmp_path))
    answers, ending = ask("import", "tried_by_doctor")
    assert ({k: answers[-1][k] for k in expected} if answers else {}) == expected
    assert ending == ("exit status 3" if "SystemExit" in code else "")


@pytest.mark.parametrize("is_headless", [True, False])
def test_two_packages_that_bring_opencv(is_headless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field fault 26: named is the one whose files are there, which the last installed one left, and the other too."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2/__init__.py").write_text("__version__ = '4.10.0'\ngetBuildInformation = lambda: ''\n")
    (tmp_path / "cv2/version.py").write_text(f"contrib = False\nheadless = {is_headless}\n")
    versions = {"opencv-python": "4.10.0.84", "opencv-python-headless": "4.11.0.86"}
    for name, version in versions.items():
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "RECORD").write_text("cv2/__init__.py,,\ncv2/version.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    facts = probe_software.opencv_facts()
    own, other = sorted(versions, reverse=is_headless)
    assert (facts.distribution, facts.version) == (own, "4.10.0")
    assert facts.rivals == (f"{other} {versions[other]}",)
    assert facts.file == str(tmp_path / "cv2/__init__.py")
    (tmp_path / f"{other.replace('-', '_')}-{versions[other]}.dist-info/RECORD").write_text("elsewhere.py,,\n")
    facts = probe_software.opencv_facts()
    assert (facts.distribution, facts.rivals) == (own, ())


def test_a_module_that_is_not_there() -> None:
    answers, _ = ask("import", "no_such_module_here")
    assert answers[-1]["is_absent"]


def test_a_wheel_for_a_newer_cpu_kills_only_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "cv2", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = probe_software.opencv_facts()
    assert facts == PackageFacts(problem="its import ended the process: SIGILL", signal="SIGILL")


def test_packages_of_this_environment() -> None:
    numpy, opencv, interpreter = (
        probe_software.numpy_facts(),
        probe_software.opencv_facts(),
        probe_software.interpreter_facts(),
    )
    assert (numpy.problem, opencv.problem, interpreter.problem) == ("", "", "")
    assert numpy.distribution == "numpy"
    assert numpy.major_minor >= (1, 24)
    assert opencv.has_gstreamer is not None
    assert interpreter.version


def test_a_broken_interpreter_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the next best package instead would hide it."""
    package(tmp_path, "ai_edge_litert", "raise ImportError('libwrapper.so: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = probe_software.interpreter_facts()
    assert "is installed but broken" in facts.problem
    assert "libwrapper.so" in facts.problem
    assert not facts.is_absent


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/home/pi/v/lib/python3.11/site-packages/numpy/__init__.py", "environment"),
        ("/usr/lib/python3/dist-packages/numpy/__init__.py", "system"),
        ("/home/pi/.local/lib/python3.11/site-packages/numpy/__init__.py", "user"),
        ("", "unknown"),
    ],
)
def test_origin(file: str, expected: str) -> None:
    assert probe_software.origin_of(file, "/home/pi/v", "/usr") == expected


def test_every_variant_of_a_bundle_is_run(bundle: Bundle) -> None:
    facts = probe_software.bundle_facts(bundle.path)
    assert (facts.model_id, facts.default_variant, set(facts.min_runtimes)) == ("tiny", "int8", {"float32", "int8"})
    inference = probe_software.inference_facts(facts)
    assert inference is not None
    assert inference.problems == {"int8": "", "float32": ""}
    assert inference.died_of == ""


def test_a_network_that_the_runtime_cannot_load(bundle: Bundle, detector_model: bytes, tmp_path: Path) -> None:
    odd = helpers.make_bundle(tmp_path / "odd", detector_model, float32=helpers.tiny("too_new"))
    inference = probe_software.inference_facts(probe_software.bundle_facts(odd.path))
    assert inference is not None
    assert inference.problems["int8"] == ""
    assert "which this runtime" in inference.problems["float32"]


def test_a_missing_and_a_damaged_bundle(bundle: Bundle, tmp_path: Path) -> None:
    missing = probe_software.bundle_facts(tmp_path / "none")
    assert missing.is_missing
    assert probe_software.inference_facts(missing) is None
    damaged = shutil.copytree(bundle.path, tmp_path / "damaged")
    (damaged / "golden.npz").write_bytes(b"x")
    facts = probe_software.bundle_facts(damaged)
    assert not facts.is_missing
    assert "golden.npz" in facts.problem


def test_disk_of_a_place_that_is_not_there_yet(tmp_path: Path) -> None:
    facts = probe_software.disk_facts(tmp_path / "not" / "yet")
    assert facts.path == str(tmp_path)
    assert facts.free_bytes > 0


def test_a_container_sees_nodes_whose_device_files_it_lacks(tree: Path) -> None:
    root = recorded_trees.unpack("pi4", tree)
    seen = probe_camera.camera_facts(root).video
    (root / seen[0].device.path[1:]).unlink()
    assert probe_camera.camera_facts(root).video == seen[1:]
