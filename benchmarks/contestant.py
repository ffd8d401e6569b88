"""A contestant of ``peers.py`` and ``frame.py``, asked line by line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


class Contestant:
    """A contestant in a process of its own, with one thread for OpenCV and BLAS.

    Args:
        python: the interpreter of its environment.
        kind: what ``peer_child.py`` is to be.
        bundle: for a contestant of this kit.
        device: where its fer_edge is taken from, in the place of what is installed.
        quiet: drops what it writes to stderr.
    """

    def __init__(self, python: Path, kind: str, bundle: Path, device: Path | None = None, quiet: bool = False) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if device is not None:
            environment["PYTHONPATH"] = str(device)
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("peer_child.py"), kind, bundle],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env=environment,
            text=True,
        )

    def ask(self, *command: object) -> Any:
        """Sends one command and waits for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args}: it died")
        return json.loads(line)

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
