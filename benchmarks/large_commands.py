"""The other commands that take a set in shards, each run once as a user runs it, looked at from outside."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from large_watch import watched

ROOT = Path(__file__).parents[1]
BUNDLE, MADE = ROOT / "dist" / "hawqc_mbv2", "made_by_large_data"
LINES = {
    "evaluate": ["evaluate", str(BUNDLE), "--labels", "ferplus8", "--crops", "--threads", "1"],
    "calibrate": ["calibrate", MADE, "--model", "fer48", "--n", "64"],
    "geometry": ["geometry", "--n", "200"],
}


def commands(shards: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs each; its name and what was seen. The calibration set that was made goes again."""
    for name, words in LINES.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            host = str(Path(sys.executable).with_name("fer-host").resolve())
            line = f"fer-host {' '.join(words)} --data SHARDS".replace(str(BUNDLE), "dist/hawqc_mbv2")
            found = watched([host, *words, "--data", str(shards.resolve())], TMPDIR=folder)
        for made in (ROOT / "calibration").rglob(f"*{MADE}*"):
            made.unlink()
        yield name, found | {"line": line}
