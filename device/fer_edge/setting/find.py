"""Which bundle is taken when none is named: the commands and the library ask here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_edge.contract import places
from fer_edge.contract.bundle import DIGEST_NAME, MANIFEST_NAME
from fer_edge.errors import BundleError

Origin = Literal["given", "FER_EDGE_BUNDLE", "installed", "dist/", "built-in"]
BUILTIN = Path(__file__).resolve().parents[1] / "builtin"  # in the package; may be absent in a distribution's own


@dataclass(frozen=True)
class Place:
    """Where a bundle is, and how it came to be looked for there."""

    path: Path
    origin: Origin


def installed() -> list[Path]:
    """Where an installation puts its bundle: this environment's, this user's, the system's."""
    own = places.home()
    users = [] if own is None else [own / ".local/share/fer-edge/bundle"]
    return [Path(sys.prefix) / "share/fer-edge/bundle", *users, Path("/usr/local/share/fer-edge/bundle")]


def all_places(environ: Mapping[str, str] | None = None) -> list[Place]:
    """Every bundle there is, the one before that goes first: FER_EDGE_BUNDLE, installed, ``dist/``, built-in.

    Only what FER_EDGE_BUNDLE names is listed whether it is there or not: a mistake in it must not lead elsewhere.

    Args:
        environ: this process' where None.
    """
    named = (os.environ if environ is None else environ).get("FER_EDGE_BUNDLE")
    found = [Place(Path(named), "FER_EDGE_BUNDLE")] if named else []
    found += [Place(path, "installed") for path in installed() if (path / MANIFEST_NAME).is_file()]
    found += [Place(path, "dist/") for path in _built()]
    return found + ([Place(BUILTIN, "built-in")] if (BUILTIN / MANIFEST_NAME).is_file() else [])


def _built() -> list[Path]:
    """In ``dist/`` below the working folder, where others build too: our bundles have their digest beside them."""
    folders = sorted(path.parent for path in Path("dist").glob(f"[!.]*/{MANIFEST_NAME}"))
    return [path for path in folders if (path / DIGEST_NAME).is_file()]


def choose(found: Sequence[Place]) -> Place:
    """The first of ``all_places``, but none of several in ``dist/``: which one is meant nobody can know.

    Raises:
        BundleError: there is none, or ``dist/`` holds several and nothing goes before them.
    """
    if not found:
        raise BundleError(
            "bundle: not given, none is installed, none is in dist/ and this fer-edge has none built in; name one with "
            "--bundle DIR or FER_EDGE_BUNDLE"
        )
    built = [str(place.path) for place in found if place.origin == "dist/"]
    if found[0].origin == "dist/" and len(built) > 1:
        raise BundleError(
            f"bundle: not given and found {', '.join(built)} in dist/; name one with --bundle DIR or FER_EDGE_BUNDLE"
        )
    return found[0]


def find_bundle(given: Path | None) -> Path:
    """``given``, else FER_EDGE_BUNDLE, else the installed one, else the only one in ``dist/``, else the built-in one.

    Raises:
        BundleError: there is none, or ``dist/`` holds several.
    """
    return choose(all_places()).path if given is None else given
