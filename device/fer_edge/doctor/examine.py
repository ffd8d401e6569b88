"""All checks in the order of the report; a probe that fails becomes a finding of the checks that needed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from fer_edge import __version__
from fer_edge.board import identify as board
from fer_edge.board import sensors
from fer_edge.board.commands import Run, recorded, run
from fer_edge.doctor import (
    judge_camera,
    judge_machine,
    judge_onnx,
    judge_software,
    probe_camera,
    probe_machine,
    probe_software,
)
from fer_edge.doctor.facts import (
    BundleFacts,
    CameraFacts,
    InferenceFacts,
    MemoryFacts,
    PackageFacts,
    PythonFacts,
    UserFacts,
)
from fer_edge.doctor.finding import Finding, ok, warn
from fer_edge.doctor.remedies import remedy


class Machine:
    """Facts, each gathered when a check first asks for it.

    Args:
        bundle: as given with --bundle.
        root: of /proc, /sys, /dev and /etc. Below another root than "/" no command is run: a recorded tree has their
            outputs. Python, its packages, the bundle, disk and clock are always this machine's.
    """

    given_bundle: Path | None
    root: Path

    def __init__(self, bundle: Path | None = None, root: Path = Path("/")) -> None:
        self.given_bundle, self.root = bundle, root
        self.run: Run = run if root == Path("/") else recorded(root)

    @cached_property
    def python(self) -> PythonFacts:
        """See ``probe_software.python_facts``."""
        return probe_software.python_facts()

    @cached_property
    def numpy(self) -> PackageFacts:
        """See ``probe_software.numpy_facts``."""
        return probe_software.numpy_facts()

    @cached_property
    def opencv(self) -> PackageFacts:
        """See ``probe_software.opencv_facts``."""
        return probe_software.opencv_facts()

    @cached_property
    def interpreter(self) -> PackageFacts:
        """See ``probe_software.interpreter_facts``."""
        return probe_software.interpreter_facts()

    @cached_property
    def onnxruntime(self) -> PackageFacts:
        """See ``probe_software.onnxruntime_facts``."""
        return probe_software.onnxruntime_facts()

    @cached_property
    def bundle(self) -> BundleFacts:
        """See ``probe_software.bundle_facts``."""
        return probe_software.bundle_facts(self.given_bundle)

    @cached_property
    def inference(self) -> InferenceFacts | None:
        """See ``probe_software.inference_facts``."""
        return None if self.interpreter.problem else probe_software.inference_facts(self.bundle)

    @cached_property
    def board(self) -> board.Board:
        """See ``board.identify``."""
        return board.identify(self.root)

    @cached_property
    def camera(self) -> CameraFacts:
        """See ``probe_camera.camera_facts``."""
        return probe_camera.camera_facts(self.root)

    @cached_property
    def user(self) -> UserFacts:
        """See ``probe_camera.user_facts``."""
        return probe_camera.user_facts(self.root)

    @cached_property
    def memory(self) -> MemoryFacts:
        """See ``probe_machine.memory_facts``."""
        return probe_machine.memory_facts(self.root)


_s, _c, _m, _o = judge_software, judge_camera, judge_machine, judge_onnx
CHECKS: tuple[tuple[str, Callable[[Machine], Finding | None]], ...] = (
    ("fer-edge", lambda m: ok("fer-edge", f"{__version__} in {Path(__file__).parents[1]}")),
    ("board", lambda m: _m.judge_board(m.board, board.kernel_release(m.root), board.l4t(m.root))),
    ("cpu", lambda m: _m.judge_cpu(board.cpu(m.root))),
    ("python", lambda m: _s.judge_python(m.python)),
    ("numpy", lambda m: _s.judge_numpy(m.python, m.numpy)),
    ("opencv", lambda m: _s.judge_opencv(m.python, m.opencv, m.numpy, m.board)),
    ("interpreter", lambda m: _s.judge_interpreter(m.python, m.interpreter, m.numpy, m.bundle)),
    ("bundle", lambda m: _s.judge_bundle(m.bundle)),
    ("onnxruntime", lambda m: _onnxruntime(m)),
    ("inference", lambda m: _inference(m)),
    ("provider", lambda m: _o.judge_provider(m.bundle, m.inference)),
    ("camera", lambda m: _c.judge_camera(m.camera, m.board)),
    ("picamera2", lambda m: _c.judge_picamera2(m.camera, m.python, m.board)),
    ("simplejpeg", lambda m: _s.judge_simplejpeg(m.python, probe_software.simplejpeg_facts(), m.numpy)),
    ("nvargus-daemon", lambda m: _c.judge_nvargus(m.camera, m.board)),
    ("groups", lambda m: _c.judge_groups(m.camera, m.user, m.board)),
    ("camera-users", lambda m: _c.judge_holders(m.camera)),
    ("memory", lambda m: _m.judge_memory(m.memory)),
    ("cma", lambda m: _m.judge_cma(m.memory, m.board)),
    ("temperature", lambda m: _m.judge_temperature(sensors.thermal_facts(m.root), m.board)),
    ("throttling", lambda m: _m.judge_throttling(sensors.throttle_facts(m.root, m.run), m.user, m.board)),
    ("governor", lambda m: _m.judge_governor(probe_machine.governor_facts(m.root))),
    ("disk", lambda m: _s.judge_disk(probe_software.disk_facts(Path(m.bundle.path or ".")))),
    ("clock", lambda m: _m.judge_clock(probe_machine.clock_facts())),
)


def _onnxruntime(m: Machine) -> Finding | None:
    l4t, has_gpu = board.l4t(m.root), board.has_nvidia_gpu(m.root)
    return _o.judge_onnxruntime(m.python, m.onnxruntime, m.numpy, m.bundle, m.board, l4t, has_gpu)


def _inference(m: Machine) -> Finding | None:
    has_onnx = bool(m.bundle.onnx_variants) and not m.onnxruntime.problem
    return _s.judge_inference(m.python, m.interpreter, m.numpy, m.bundle, m.inference, has_onnx)


def examine(machine: Machine) -> Iterator[Finding]:
    """One finding after another, as the checks end; a check that does not apply here says nothing."""
    for name, check in CHECKS:
        try:
            result = check(machine)
        except Exception as error:  # doctor must say what else it finds, whatever one probe runs into
            yield warn(name, f"not known ({type(error).__name__}: {error})", remedy("report"))
            continue
        if result is not None:
            yield result
