"""The first load of a bundle is a trial in a process of its own: one that would end ours ends that one.

What has passed is remembered by its digest, with this interpreter, beside the decoded networks (``contract.kept``).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from fer_edge.contract import bounds, digest, kept
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.errors import BundleError, EdgeError
from fer_edge.program.child import ask

log = logging.getLogger(__name__)
KIND = "tried"
# no threads before the filter of system calls, and nothing to say to the service manager
ENVIRON = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "NOTIFY_SOCKET": ""}


def check(bundle: Bundle) -> None:
    """Tries a bundle that has not been run here before; returns at once for one that has.

    Raises:
        BundleError: it is refused.
    """
    key = _key(bundle.sha256)
    if kept.is_marked(KIND, key):
        return
    log.debug("bundle %s: first load here, tried in a process of its own", bundle.path)
    found = tried(bundle.path, bounds.TRIAL_CPU_S, bounds.TRIAL_WALL_S, sha256=bundle.sha256)
    if found["lacks"]:
        log.info("bundle %s: tried without all precautions: %s", bundle.path, found["lacks"])
    kept.mark(KIND, key, str(bundle.path.resolve()))


def before(bundle: Bundle) -> Bundle | None:
    """The last other bundle that has passed, if it is still where it was; None where there is none."""
    for key, place in kept.marks(KIND):
        try:
            found = open_bundle(Path(place))
        except (EdgeError, OSError):
            continue
        if found.sha256 != bundle.sha256 and _key(found.sha256) == key:
            return found
    return None


def tried(
    path: Path,
    cpu_s: int,
    wall_s: float,
    module: str = "fer_edge.trial.networks",
    more: tuple[str, ...] = (),
    sha256: str = "",
) -> dict[str, Any]:
    """Tries a bundle's folder or archive in a child.

    Args:
        path: of the bundle.
        cpu_s: processor time of the child.
        wall_s: until it is ended.
        module: whose ``main`` is the child's side, see ``networks.main``.
        more: arguments for it.
        sha256: of the bundle that is meant; "" takes any.

    Returns:
        Its last answer: ``sha256``; ``lacks``: which precaution could not be taken, "" where all were; ``peak_bytes``.

    Raises:
        BundleError: it is refused.
    """
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="fer-edge-") if path.is_file() else ""
    try:
        limits = (str(bounds.TRIAL_MEMORY_BYTES), str(cpu_s))
        answers, ending = ask(module, str(path), *limits, folder, sha256, *more, wall_s=wall_s, environ=ENVIRON)
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    last = answers[-1] if answers else {}
    if last.get("done") is True and not ending:
        return last
    if "problem" in last:
        problem = str(last["problem"])
        raise BundleError(problem if str(path) in problem else f"bundle {path}: {problem}")
    step = next((str(answer["trying"]) for answer in reversed(answers) if "trying" in answer), "the interpreter")
    if ending.startswith("no answer"):
        raise BundleError(f"bundle {path}: {step}: {ending}; it is no sound bundle, or this machine is very busy")
    raise BundleError(
        f"bundle {path}: {step} ended the process that tried it ({ending or 'no answer'}); it is damaged or made to do "
        "harm: do not use it"
    )


def _key(sha256: str) -> str:
    from fer_edge.classifier.onnx_runtime import NAME, installed_version
    from fer_edge.classifier.runtime import find_runtime

    version = installed_version()
    other = f" {NAME} {version}" if version else ""
    return digest.sha256(f"{sha256} {find_runtime()} {os.uname().machine}{other}".encode())
