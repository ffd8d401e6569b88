"""``fer-edge run`` with readings as JSON lines and CSV, appended to the same files over all kills."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from killing.subject import ROOT, Subject

ENOUGH = 20  # lines of an undisturbed run


class Run(Subject):
    """Drawn faces at full speed. A line is acknowledged when another process has read it whole."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = (folder / "readings.jsonl", folder / "readings.csv")
        self.acknowledged = [b"", b""]
        self.starts_at = 0

    def command(self) -> list[str]:
        """Until it is killed."""
        self.starts_at = self.lines()
        line = [sys.executable, "-m", "fer_edge.cli", "run", "--source", "synthetic://?n=1000000&width=320&height=240"]
        line += ["--bundle", str(ROOT / "dist" / "hawqc_mbv2"), "--threads", "1"]
        return [*line, "--jsonl", str(self.files[0]), "--csv", str(self.files[1])]

    def lines(self) -> int:
        """JSON lines so far."""
        return self.files[0].read_bytes().count(b"\n") if self.files[0].exists() else 0

    def is_over(self) -> bool:
        """After ``ENOUGH`` lines more."""
        return self.lines() >= self.starts_at + ENOUGH

    def before_kill(self) -> None:
        """Everything up to the last line's end."""
        self.acknowledged = [_whole_lines(path) for path in self.files]

    def whole(self) -> list[str]:
        """What was acknowledged is there, byte for byte."""
        wrong = []
        for path, before in zip(self.files, self.acknowledged, strict=True):
            if before and not path.read_bytes().startswith(before):
                wrong.append(f"{path.name}: {len(before)} acknowledged bytes are not all there")
        return wrong

    def finished(self) -> list[str]:
        """At most the line in hand was torn by each kill; one head in the CSV."""
        rows = self.files[1].read_bytes().splitlines()
        head = rows[0]
        wrong = [f"readings.csv: {rows.count(head)} heads"] if rows.count(head) != 1 else []
        return [*wrong, *self.whole()]

    def torn(self) -> int:
        """Lines and rows that are not whole, over all kills."""
        n = 0
        for line in self.files[0].read_bytes().splitlines():
            try:
                json.loads(line)
            except ValueError:
                n += 1
        rows = self.files[1].read_bytes().splitlines()
        return n + sum(row.count(b",") != rows[0].count(b",") for row in rows)


def _whole_lines(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]
