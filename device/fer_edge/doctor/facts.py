"""What the probes found, as frozen dataclasses: all that the judging functions see."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from fer_edge.board.camera_nodes import Holder

Origin = Literal["environment", "system", "user", "unknown"]


@dataclass(frozen=True)
class PythonFacts:
    """The Python that runs doctor. ``bits`` is the interpreter's, ``machine`` the kernel's architecture.

    ``base_prefix`` is that of the Python that an environment was made with; /usr for Debian's own.
    """

    version: tuple[int, int, int]
    bits: int
    machine: str
    executable: str
    prefix: str
    base_prefix: str
    in_venv: bool
    sees_system: bool
    externally_managed: bool

    @property
    def sees_apt(self) -> bool:
        """True where packages that apt installed can be imported."""
        return self.sees_system and self.base_prefix == "/usr"


@dataclass(frozen=True)
class PackageFacts:
    """A package tried in a process of its own: ``problem`` is "" where it imported, else what happened.

    ``is_absent`` tells not installed from broken; ``signal`` names what killed the process; ``rivals`` are installed
    packages that brought the same files, ``providers`` onnxruntime's.
    """

    version: str = ""
    file: str = ""
    origin: Origin = "unknown"
    distribution: str = ""
    problem: str = ""
    is_absent: bool = False
    signal: str = ""
    has_gstreamer: bool | None = None
    rivals: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()

    @property
    def major_minor(self) -> tuple[int, int]:
        """E.g. (4, 11); (0, 0) where the version is unknown."""
        numbers = [int(part) for part in self.version.split(".")[:2] if part.isdecimal()]
        return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


@dataclass(frozen=True)
class BundleFacts:
    """The bundle, or why there is none; ``is_missing`` tells not found from damaged."""

    path: str = ""
    model_id: str = ""
    version: str = ""
    sha256: str = ""
    default_variant: str = ""
    min_runtimes: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    is_missing: bool = False

    @property
    def onnx_variants(self) -> tuple[str, ...]:
        """Those that onnxruntime runs."""
        return tuple(name for name, needed in self.min_runtimes.items() if needed.startswith("onnxruntime "))


@dataclass(frozen=True)
class InferenceFacts:
    """By variant: "" where it was loaded and gave finite outputs, else the problem; ``died_of`` ended the process.

    ``lacks`` says of an ONNX variant why it does not run where it was meant to; no entry where it does. ``ran_on`` is
    the provider that really computed it.
    """

    problems: dict[str, str]
    died_of: str = ""
    lacks: dict[str, str] = field(default_factory=dict)
    ran_on: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceNode:
    """A device file, the group that owns it, and whether this user may read and write it."""

    path: str
    group: str
    is_accessible: bool


@dataclass(frozen=True)
class VideoNode:
    """A V4L2 node. ``name`` is the driver's, ``index`` its number within one device (0 is the pictures' node)."""

    device: DeviceNode
    name: str
    index: int


@dataclass(frozen=True)
class CameraFacts:
    """Device nodes, who holds them, and the libraries for CSI cameras ("" where absent, else the file)."""

    video: tuple[VideoNode, ...]
    media: tuple[DeviceNode, ...]
    dma_heaps: tuple[DeviceNode, ...]
    holders: tuple[Holder, ...]
    n_hidden_processes: int
    picamera2: str
    libcamera: str
    system_picamera2: str
    nvargus_runs: bool


@dataclass(frozen=True)
class UserFacts:
    """Who runs doctor: groups of this login and groups that /etc/group grants (from the next login on)."""

    name: str
    is_root: bool
    groups: tuple[str, ...]
    granted: tuple[str, ...]


@dataclass(frozen=True)
class MemoryFacts:
    """From /proc/meminfo, in bytes; CMA is None where the kernel has none, the memory cgroup where it is not told."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_free_bytes: int
    has_zram: bool
    cma_total_bytes: int | None
    cma_free_bytes: int | None
    has_memory_cgroup: bool | None


@dataclass(frozen=True)
class GovernorFacts:
    """The frequency governor of the first CPU, its driver, and the governors that can be chosen."""

    name: str
    driver: str
    available: tuple[str, ...]


@dataclass(frozen=True)
class DiskFacts:
    """Free space where the bundle is."""

    path: str
    free_bytes: int


@dataclass(frozen=True)
class ClockFacts:
    """The machine's time."""

    now: datetime
