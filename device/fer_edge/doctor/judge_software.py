"""Judges Python, its packages and the bundle. Pure: facts in, findings out."""

from __future__ import annotations

from fer_edge.board.identify import Board
from fer_edge.classifier.runtime import is_older
from fer_edge.doctor.facts import BundleFacts, DiskFacts, InferenceFacts, PackageFacts, PythonFacts
from fer_edge.doctor.finding import Finding, fail, ok, warn
from fer_edge.doctor.remedies import LITERT, OPENCV, quoted, remedy

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
OLDEST_OPENCV, NEWEST_OPENCV = (4, 6), (4, 11)
LAST_32_BIT_PYTHON = (3, 11)  # of tflite-runtime's armv7l wheels, the only 32-bit interpreter there is
OLDEST_NUMPY = (1, 24)
LITTLE_DISK_BYTES = 200_000_000  # logs, an update's download


def judge_python(python: PythonFacts) -> Finding:
    """Version, word size, and what kind of environment it is."""
    kind = "the system's" if python.base_prefix == "/usr" else "not the system's"
    if python.in_venv:
        kind = "an environment that " + ("sees" if python.sees_apt else "does not see") + " apt's packages"
    version = ".".join(map(str, python.version))
    found = f"{version}, {python.bits} bit, {kind} ({python.executable})"
    if not OLDEST_PYTHON <= python.version[:2] <= NEWEST_PYTHON:
        return fail("python", f"{found}; expected 3.10 to 3.13", remedy("new-python"))
    if python.bits == 32:
        found += f" on a {python.machine} kernel"
        if python.version[:2] > LAST_32_BIT_PYTHON:
            return fail("python", found, remedy("64-bit-system"))
    return ok("python", found)


def judge_numpy(python: PythonFacts, numpy: PackageFacts) -> Finding:
    """Present and not too old."""
    if numpy.problem:
        if numpy.is_absent:
            return fail("numpy", "not installed", _install(python, _numpy(python), "python3-numpy"))
        return fail("numpy", numpy.problem, _broken(python, numpy, _numpy(python)))
    if numpy.major_minor < OLDEST_NUMPY:
        return fail("numpy", f"{described(numpy)}; expected 1.24 or newer", pip(python, _numpy(python)))
    return ok("numpy", described(numpy))


def judge_opencv(python: PythonFacts, opencv: PackageFacts, numpy: PackageFacts, board: Board) -> Finding:
    """Present, 4.6 to 4.11, fitting to numpy; on a Jetson with GStreamer."""
    if opencv.problem:
        if opencv.is_absent:
            return fail("opencv", "not installed", _install(python, OPENCV, "python3-opencv"))
        if "numpy" in opencv.problem and numpy.major_minor >= (2, 0):
            return fail("opencv", f"{opencv.problem}; it was built for numpy 1", _older_numpy(python, numpy))
        return fail("opencv", opencv.problem, _broken(python, opencv, OPENCV))
    found = described(opencv) + (" with GStreamer" if opencv.has_gstreamer else " without GStreamer")
    if opencv.major_minor < OLDEST_OPENCV:
        return fail("opencv", f"{found}; expected 4.6 or newer", pip(python, OPENCV))
    if opencv.major_minor > NEWEST_OPENCV:
        return warn("opencv", f"{found}; tested are 4.6 to 4.11", pip(python, OPENCV))
    if opencv.rivals:
        packages = " ".join([opencv.distribution, *(rival.split(" ")[0] for rival in opencv.rivals)])
        cure = remedy("one-opencv", python=quoted(python.executable), packages=packages, package=quoted(OPENCV))
        return warn("opencv", f"{found}; {', '.join(opencv.rivals)} is installed over or under it", cure)
    if board.family == "jetson" and not opencv.has_gstreamer:
        package = opencv.distribution or "opencv-python-headless"
        return warn("opencv", found, remedy("jetpack-opencv", python=quoted(python.executable), package=package))
    return ok("opencv", found)


def judge_interpreter(
    python: PythonFacts, interpreter: PackageFacts, numpy: PackageFacts, bundle: BundleFacts
) -> Finding:
    """Present, fitting to numpy, and new enough for the bundle's variants."""
    name = "interpreter"
    if interpreter.problem:
        if not interpreter.is_absent:
            wanted = LITERT if python.bits == 64 else "tflite-runtime"
            return fail(name, interpreter.problem, _broken(python, interpreter, wanted))
        cure = pip(python, LITERT, *kept_numpy(numpy)) if python.bits == 64 else _on_32_bit(python, numpy)
        return fail(name, "none is installed", cure)
    found = described(interpreter)
    if interpreter.distribution == "tflite-runtime" and numpy.major_minor >= (2, 0):
        return fail(name, f"{found} with numpy {numpy.version}; expected numpy 1", _older_numpy(python, numpy))
    too_new = variants_too_new(interpreter, bundle)
    if not too_new:
        return ok(name, found)
    fitting = [variant for variant in bundle.min_runtimes if variant not in too_new]
    needs = ", ".join(f"{variant} needs {bundle.min_runtimes[variant]}" for variant in too_new)
    if bundle.default_variant not in too_new:
        if python.bits == 32:
            return ok(name, f"{found}; {needs}, which 32 bit does not have")
        return warn(name, f"{found}; {needs}", _newer_interpreter(python, numpy, bundle.default_variant))
    return fail(name, f"{found}; {needs}", _newer_interpreter(python, numpy, fitting[0] if fitting else ""))


def variants_too_new(interpreter: PackageFacts, bundle: BundleFacts) -> list[str]:
    """Variants whose ``min_runtime`` is newer than the interpreter."""
    installed = (interpreter.distribution, interpreter.version)
    return [variant for variant, needed in bundle.min_runtimes.items() if is_older(*installed, needed)]


def judge_bundle(bundle: BundleFacts) -> Finding:
    """Found, and every byte as its maker wrote it."""
    if not bundle.problem:
        variants = ", ".join(bundle.min_runtimes)
        found = f"{bundle.model_id} {bundle.version} in {bundle.path}, {bundle.sha256[:12]}, default variant "
        return ok("bundle", f"{found}{bundle.default_variant} of {variants}")
    problem = bundle.problem.partition("; ")[0]  # what follows is the remedy for where doctor does not run
    return fail("bundle", problem, remedy("get-bundle" if bundle.is_missing else "recopy-bundle"))


def judge_inference(
    python: PythonFacts,
    interpreter: PackageFacts,
    numpy: PackageFacts,
    bundle: BundleFacts,
    inference: InferenceFacts | None,
    has_onnx: bool = True,
) -> Finding | None:
    """Variants were really loaded and run.

    Nothing to say where ``judge_interpreter`` has said it: no interpreter, no fitting numpy, a variant too new.
    """
    if inference is None or judge_interpreter(python, interpreter, numpy, bundle).level == "fail":
        return None
    too_new = variants_too_new(interpreter, bundle)
    others = bundle.onnx_variants  # whether they can run at all is onnxruntime's line
    wanted = [name for name in bundle.min_runtimes if name not in too_new and not (name in others and not has_onnx)]
    good = [variant for variant in wanted if inference.problems.get(variant) == ""]
    bad = {variant: problem for variant, problem in inference.problems.items() if problem and variant in wanted}
    not_tried = [variant for variant in wanted if variant not in inference.problems]
    if not_tried:  # the default goes first
        culprit = bundle.default_variant if bundle.default_variant in not_tried else not_tried[0]
        bad[culprit] = f"ended the process: {inference.died_of}"
    found = "; ".join([f"{', '.join(good)} loaded and run once"] * bool(good) + [f"{v}: {p}" for v, p in bad.items()])
    if not bad:
        return ok("inference", found)
    if inference.died_of.startswith("SIG"):
        return fail("inference", found, _illegal(python, "ai-edge-litert<2.3"))
    if bundle.default_variant in good:
        return warn("inference", found, _newer_interpreter(python, numpy, bundle.default_variant))
    return fail("inference", found, _newer_interpreter(python, numpy, good[0] if good else ""))


def judge_simplejpeg(python: PythonFacts, simplejpeg: PackageFacts, numpy: PackageFacts) -> Finding | None:
    """Nothing to say where it is not installed; broken by a numpy that it was not built for, picamera2 is too."""
    if simplejpeg.is_absent:
        return None
    if not simplejpeg.problem:
        return ok("simplejpeg", f"{described(simplejpeg)}, fits numpy {numpy.version}")
    found = f"{simplejpeg.problem}; picamera2 cannot be imported with numpy {numpy.version}"
    return fail("simplejpeg", found, _older_numpy(python, numpy))


def judge_disk(disk: DiskFacts) -> Finding:
    """Room for logs and an update."""
    found = f"{disk.free_bytes / 1e6:,.0f} MB free in {disk.path}"
    if disk.free_bytes < LITTLE_DISK_BYTES:
        return warn(
            "disk",
            f"{found}; expected {LITTLE_DISK_BYTES / 1e6:.0f} MB or more",
            remedy("free-disk", path=quoted(disk.path)),
        )
    return ok("disk", found)


def described(package: PackageFacts) -> str:
    """Name, version and origin, for people."""
    places = {"environment": "from this environment", "system": "from the system", "user": "from ~/.local"}
    name = f"{package.distribution} " if package.distribution else ""
    return f"{name}{package.version or 'of unknown version'} {places.get(package.origin, '')}".strip()


def _on_32_bit(python: PythonFacts, numpy: PackageFacts) -> str:
    if python.version[:2] > LAST_32_BIT_PYTHON:
        return remedy("64-bit-system")
    pin = quoted(kept_numpy(numpy)[0] if numpy.major_minor < (2, 0) and numpy.version else "numpy<2")
    return remedy("32-bit-interpreter", python=quoted(python.executable), numpy=pin)


def pip(python: PythonFacts, *packages: str) -> str:
    """The command that installs these packages here."""
    key = "venv-pip" if python.externally_managed else "pip"
    return remedy(key, python=quoted(python.executable), packages=" ".join(map(quoted, packages)))


def kept_numpy(numpy: PackageFacts) -> list[str]:
    """A pin of the present numpy: ai-edge-litert's ml-dtypes would fetch numpy 2, which breaks apt's packages."""
    return [f"numpy=={numpy.version}"] if numpy.version else []


def _install(python: PythonFacts, package: str, apt_package: str) -> str:
    """From apt where this Python sees its packages, which all fit together; else from PyPI."""
    return remedy("apt", package=apt_package) if python.sees_apt else pip(python, package)


def _numpy(python: PythonFacts) -> str:
    """The numpy that fits apt's packages and all interpreters; from Python 3.13 on there is only numpy 2."""
    return "numpy>=1.24,<2" if python.version[:2] < (3, 13) else "numpy>=2.1"


def _broken(python: PythonFacts, package: PackageFacts, wanted: str) -> str:
    if package.signal.startswith("SIG"):
        return _illegal(python, wanted)
    if python.externally_managed:
        return pip(python, wanted)
    return remedy("reinstall", python=quoted(python.executable), package=quoted(wanted))


def _illegal(python: PythonFacts, package: str) -> str:
    return remedy("illegal-instruction", python=quoted(python.executable), package=package)


def _older_numpy(python: PythonFacts, numpy: PackageFacts) -> str:
    """Where the environment's own numpy hides the system's, removing it is enough and survives an apt upgrade."""
    if python.in_venv and python.sees_apt and numpy.origin == "environment":
        return remedy("drop-own-numpy", python=quoted(python.executable))
    return remedy("numpy-below-2", python=quoted(python.executable))


def _newer_interpreter(python: PythonFacts, numpy: PackageFacts, other_variant: str) -> str:
    if python.bits == 32:
        return remedy("other-variant", variant=other_variant) if other_variant else remedy("64-bit-system")
    packages = " ".join(map(quoted, ["ai-edge-litert", *kept_numpy(numpy)]))
    key = "update-interpreter" if other_variant else "no-variant-fits"
    return remedy(key, python=quoted(python.executable), packages=packages, variant=other_variant)
