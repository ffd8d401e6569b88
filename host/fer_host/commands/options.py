"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_DATA = Path("../shared/data/fer2013/fer2013_train_public.npz")


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)
