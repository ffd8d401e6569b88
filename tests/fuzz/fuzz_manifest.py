"""Manifests of a small bundle on disk: read by ``contract.manifest``, and one in twenty by ``fer-edge info``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import samples
from commands import command
from damage import damage_json
from harness import Case, one_line

from fer_edge.cli import main
from fer_edge.contract import manifest
from fer_edge.errors import EdgeError

SILENT = True
EVERY = 20


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    bundle = samples.make_bundle(folder / "bundle")
    document = json.loads((bundle.path / "manifest.json").read_text())

    def case(rng: np.random.Generator, index: int) -> str:
        content = damage_json(rng, document)
        if index % EVERY == 0:
            (bundle.path / "manifest.json").write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            (bundle.path / "bundle.sha256").write_text(f"{digest}  manifest.json\n")
            return f"info {command(main, 'fer-edge', 'info', '--bundle', bundle.path)}"
        try:
            manifest.loads(content)
        except EdgeError as error:
            one_line(str(error))
            return "refused"
        return "read"

    yield case
