"""Facts about Python, its packages and the bundle; what is imported or run is so in a child process."""

from __future__ import annotations

import os
import struct
import sys
import sysconfig
from pathlib import Path

from fer_edge.board import identify as board
from fer_edge.contract.bundle import MANIFEST_NAME, open_bundle
from fer_edge.doctor.child import ask
from fer_edge.doctor.facts import BundleFacts, DiskFacts, InferenceFacts, Origin, PackageFacts, PythonFacts
from fer_edge.errors import EdgeError
from fer_edge.setting.find import find_bundle

_OPENCV_DISTRIBUTIONS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


def python_facts() -> PythonFacts:
    """This process' Python."""
    in_venv = sys.prefix != sys.base_prefix
    config = board.read_text(Path(sys.prefix) / "pyvenv.cfg").lower()
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"  # PEP 668
    return PythonFacts(
        version=(sys.version_info[0], sys.version_info[1], sys.version_info[2]),
        bits=struct.calcsize("P") * 8,
        machine=board.machine_name(),
        executable=sys.executable,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        in_venv=in_venv,
        sees_system=not in_venv or "include-system-site-packages = true" in config,
        externally_managed=not in_venv and marker.exists(),
    )


def numpy_facts() -> PackageFacts:
    """Numpy, imported in a child."""
    return _package("import", "numpy", "numpy")


def opencv_facts() -> PackageFacts:
    """cv2, imported in a child."""
    return _package("import", "cv2", *_OPENCV_DISTRIBUTIONS)


def simplejpeg_facts() -> PackageFacts:
    """simplejpeg, which picamera2 needs and which breaks first where numpy is not the one it was built for."""
    return _package("import", "simplejpeg", "simplejpeg")


def interpreter_facts() -> PackageFacts:
    """The interpreter's package that fer-edge takes, imported in a child."""
    return _package("interpreter")


def onnxruntime_facts() -> PackageFacts:
    """onnxruntime with its providers, imported in a child."""
    return _package("onnxruntime")


def _package(what: str, *arguments: str) -> PackageFacts:
    answers, ending = ask(what, *arguments)
    if not answers:
        return PackageFacts(problem=f"its import ended the process: {ending or 'no answer'}", signal=ending)
    values = {**answers[-1], **{name: tuple(answers[-1].get(name, ())) for name in ("rivals", "providers")}}
    return PackageFacts(**values, origin=origin_of(values.get("file", ""), sys.prefix, sys.base_prefix))


def origin_of(file: str, prefix: str, base_prefix: str) -> Origin:
    """Where a module's file lies: a virtual environment, the system's packages, or the user's own (~/.local)."""
    if not file:
        return "unknown"
    if prefix != base_prefix and Path(file).is_relative_to(prefix):
        return "environment"
    if ".local" in Path(file).parts:
        return "user"
    return "system"


def bundle_facts(given: Path | None) -> BundleFacts:
    """The bundle that the commands would take, with every digest checked."""
    try:
        path = find_bundle(given)
    except EdgeError as error:
        return BundleFacts(problem=str(error), is_missing=True)
    try:
        bundle = open_bundle(path)
    except EdgeError as error:
        return BundleFacts(str(path), problem=str(error), is_missing=not (path / MANIFEST_NAME).is_file())
    manifest = bundle.manifest
    return BundleFacts(
        path=str(path),
        model_id=manifest.model_id,
        version=manifest.version,
        sha256=bundle.sha256,
        default_variant=manifest.default_variant,
        min_runtimes={variant.id: variant.min_runtime for variant in manifest.variants},
    )


def inference_facts(bundle: BundleFacts) -> InferenceFacts | None:
    """Each variant loaded and run once in a child; None without a sound bundle."""
    if bundle.problem:
        return None
    answers, ending = ask("networks", bundle.path)
    problems = {answer["variant"]: str(answer["problem"]) for answer in answers if "variant" in answer}
    lacks = {answer["variant"]: str(answer["lacks"]) for answer in answers if answer.get("lacks")}
    ran_on = {answer["variant"]: str(answer["provider"]) for answer in answers if answer.get("provider")}
    return InferenceFacts(problems, ending, lacks, ran_on)


def disk_facts(path: Path) -> DiskFacts:
    """Free space for ordinary users on the file system of ``path``, or of its nearest folder that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    status = os.statvfs(place)
    return DiskFacts(str(place), status.f_bavail * status.f_frsize)
