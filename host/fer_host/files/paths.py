"""Where the project's own files are: recipes, weights, calibration sets. Nothing else derives a path."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("FER_HOST_ROOT") or Path(__file__).resolve().parents[3])
RECIPES = ROOT / "host" / "recipes"
ZOO = ROOT / "host" / "zoo"
TUNED = ZOO / "mixed"  # weights on their grids, and bit policies
CALIBRATION_SETS = ROOT / "calibration" / "sets"
CALIBRATION_RANGES = ROOT / "calibration" / "ranges"
TRAIN_CACHE = Path.home() / ".cache" / "fer-edge" / "train"
