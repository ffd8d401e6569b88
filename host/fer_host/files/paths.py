"""Where everything is: the project's own files, what is made from them, and caches. Nothing else names a place."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("FER_HOST_ROOT") or Path(__file__).resolve().parents[3])
CHANGELOG = ROOT / "CHANGELOG.md"
RECIPES = ROOT / "host" / "recipes"
ACCELERATORS = RECIPES / "accelerators"
ZOO = ROOT / "host" / "zoo"
TUNED = ZOO / "mixed"  # weights on their grids, and bit policies
BUILTIN = ROOT / "device" / "fer_edge" / "builtin"  # the bundle that the wheel carries
CALIBRATION_SETS = ROOT / "calibration" / "sets"
CALIBRATION_RANGES = ROOT / "calibration" / "ranges"
WHEELS = ROOT / "build" / "wheels"  # sets of wheels for offline archives, kept from run to run
TRAIN_CACHE = Path.home() / ".cache" / "fer-edge" / "train"

# Below the working directory, as `make` leaves them.
BUILD = Path("build")  # the stages of conversions, one folder per recipe
DIST = Path("dist")  # bundles, one folder per recipe, and archives of them
EXPORTS = DIST / "export"  # folders for the compilers of accelerators

FER2013 = Path("fer2013") / "fer2013_train_public.npz"  # in the folder that FER_DATA names


def default_data() -> Path | None:
    """FER2013's npz below the folder that FER_DATA names; None where it is not set."""
    folder = os.environ.get("FER_DATA")
    return Path(folder) / FER2013 if folder else None
