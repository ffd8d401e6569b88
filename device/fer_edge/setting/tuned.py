"""What ``fer-edge tune`` found on this board, remembered; commands take it where nothing else is told.

It holds for one bundle on one board with one interpreter: where any of them changed, the defaults are back.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from fer_edge.board import identify as board
from fer_edge.contract import codec, places
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.regular import read_regular
from fer_edge.contract.whole import whole_file
from fer_edge.setting.setting import Setting, setting_for

SCHEMA = "fer-edge/tune/1"
FILE_NAME = "tune.json"
SYSTEM_DIR = Path("/var/lib/fer-edge")  # the service's own, see fer-edge.service


@dataclass(frozen=True)
class Identity:
    """What a tuned setting depends on."""

    model: str
    soc: str
    cpu: str
    n_cores: int
    machine: str
    runtime: str
    bundle_sha256: str


@dataclass(frozen=True)
class Tuned:
    """The fastest setting within the accuracy floor; times of the whole pipeline in ms.

    ``tainted`` says what disturbed the measurement; ``provider`` is onnxruntime's where it is the runtime.
    """

    identity: Identity
    variant: str
    threads: int
    detector: str
    p50_ms: float
    default_p50_ms: float
    measured_at: str
    accuracy: float | None = None
    floor: float | None = None
    tainted: tuple[str, ...] = ()
    provider: str | None = None


@dataclass(frozen=True)
class TuneDoc:
    """The file: one entry per bundle, newest last."""

    entries: tuple[Tuned, ...]


def identity(bundle: Bundle, variant: str | None = None) -> Identity:
    """Of this machine, with this bundle and what runs the variant."""
    from fer_edge.classifier.onnx_runtime import NAME, installed_version
    from fer_edge.classifier.runtime import find_runtime

    is_onnx = bundle.manifest.variant(variant).format == "onnx"
    runtime = f"{NAME} {installed_version()}" if is_onnx else str(find_runtime())
    here, cpu = board.identify(), board.cpu()
    return Identity(here.model, here.soc, cpu.name, cpu.n_cores, board.machine_name(), runtime, bundle.sha256)


def recall(bundle: Bundle) -> Tuned | None:
    """What was found here for this bundle; None where nothing was, or board, interpreter or bundle are others now."""
    candidates = [
        entry for path in files() for entry in reversed(_read(path)) if entry.identity.bundle_sha256 == bundle.sha256
    ]
    if not candidates:
        return None  # the usual case: nothing is asked of the machine
    names = {name for spec in (bundle.manifest.detector, *bundle.manifest.other_detectors) for name in spec.names}
    variants = {variant.id for variant in bundle.manifest.variants}
    known = (entry for entry in candidates if entry.variant in variants and entry.detector in names)
    return next((entry for entry in known if entry.identity == identity(bundle, entry.variant)), None)


def choose(
    bundle: Bundle,
    variant: str | None,
    threads: int | None,
    detector: str | None,
    min_score: float | None = None,
    is_live: bool = True,
) -> Setting:
    """What was told, else what was tuned, else the defaults of ``setting_for``.

    A tuned setting holds as a whole: its threads are those of its variant, so that a variant that was told and is
    another one takes the default threads.

    Args:
        bundle: that runs.
        variant: that was told.
        threads: that were told.
        detector: that was told.
        min_score: that was told.
        is_live: frames can be late. Where they cannot, what is fastest here is of no use, and a file must give the
            same on every board: only the threads are taken then, which change no bit.

    Raises:
        SchemaError: the bundle has no such variant or detector.
    """
    if not is_live:
        plain = setting_for(bundle.manifest, variant, None, detector)
        variant, detector = plain.variant, plain.detector
    provider, measured = None, None
    if variant is None or threads is None or detector is None:
        found = recall(bundle)
        if found is not None and variant in (None, found.variant):
            measured = found.detector if detector is None else None
            variant, threads, detector = found.variant, threads or found.threads, detector or found.detector
            provider = found.provider
    setting = setting_for(bundle.manifest, variant, threads, detector, min_score, provider)
    return setting if measured is None else replace(setting, detector=measured)  # the very form, on whatever runtime


def save(entry: Tuned) -> Path:
    """Adds the entry to this user's file, in place of an older one for the same bundle."""
    path = files()[0]
    kept = [old for old in _read(path) if old.identity.bundle_sha256 != entry.identity.bundle_sha256]
    _write(path, TuneDoc((*kept, entry)))
    return path


def forget(bundle: Bundle) -> int:
    """Removes what is known of a bundle wherever this user can; how many entries that were."""
    n = 0
    for path in files():
        entries = _read(path)
        kept = tuple(entry for entry in entries if entry.identity.bundle_sha256 != bundle.sha256)
        if len(kept) != len(entries):
            _write(path, TuneDoc(kept))
            n += len(entries) - len(kept)
    return n


def files() -> list[Path]:
    """Where it may be, the first is written: a service's state, this user's own, what root keeps for the service.

    The prefix of the installation goes before these where this user may write there, and behind them where not.
    """
    prefix = _prefix()
    beside = [prefix / FILE_NAME] if prefix else []
    own = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if own:
        return [Path(own) / FILE_NAME, *beside]
    home = places.folder("XDG_STATE_HOME", ".local/state")
    found = [*([home / "fer-edge" / FILE_NAME] if home else []), SYSTEM_DIR / FILE_NAME]
    if os.geteuid() == 0 and "XDG_STATE_HOME" not in os.environ:
        found.reverse()
    return [*beside, *found] if prefix and os.access(prefix, os.W_OK) else [*found, *beside]


def _prefix() -> Path | None:
    """Of the installation that this program belongs to: PREFIX/versions/NAME/venv, as install.sh makes it."""
    venv = Path(sys.prefix)
    if venv.name != "venv" or venv.parent.parent.name != "versions":
        return None
    prefix = venv.parents[2]
    return prefix if (prefix / ".fer-edge").is_file() else None


def _read(path: Path) -> tuple[Tuned, ...]:
    """An unreadable file, or one of another version, is as good as none: it can be measured again."""
    try:
        return codec.loads(SCHEMA, TuneDoc, read_regular(path)).entries
    except (OSError, SchemaError):
        return ()


def _write(path: Path, document: TuneDoc) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write_text(codec.dumps(SCHEMA, document), encoding="utf-8")
        file.chmod(0o644)  # the service reads what root measured, whatever root's umask
