"""Which bundle a command takes when it is not told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fer_edge.contract import places
from fer_edge.contract.bundle import MANIFEST_NAME
from fer_edge.errors import BundleError


def installed() -> list[Path]:
    """Where an installation puts its bundle: this environment's, this user's, the system's."""
    own = places.home()
    users = [] if own is None else [own / ".local/share/fer-edge/bundle"]
    return [Path(sys.prefix) / "share/fer-edge/bundle", *users, Path("/usr/local/share/fer-edge/bundle")]


def find_bundle(given: Path | None) -> Path:
    """``--bundle``, else FER_EDGE_BUNDLE, else the installed one, else the only one in ``dist/``.

    Raises:
        BundleError: there is none, or ``dist/`` holds several.
    """
    if given is not None:
        return given
    named = os.environ.get("FER_EDGE_BUNDLE")
    if named:
        return Path(named)
    for place in installed():
        if (place / MANIFEST_NAME).is_file():
            return place
    built = sorted(path.parent for path in Path("dist").glob(f"[!.]*/{MANIFEST_NAME}"))
    if len(built) == 1:
        return built[0]
    found = f"found {', '.join(map(str, built))} in dist/" if built else "none is installed and none is in dist/"
    raise BundleError(f"bundle: not given and {found}; name one with --bundle DIR or FER_EDGE_BUNDLE")
