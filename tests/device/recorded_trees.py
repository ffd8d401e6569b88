"""Unpacks tests/device/trees/<board>/tree.txt: the parts of /proc, /sys, /dev and /etc that fer-edge reads.

A line is "path<TAB>content" (\\n, \\t, \\0 and \\\\ escaped), "path<TAB>-> target" (a link) or "path/" (a folder; in
place of a file it makes reading fail). ``.commands/NAME ARGUMENTS`` holds a command's output.
"""

from __future__ import annotations

import re
from pathlib import Path

TREES = Path(__file__).parent / "trees"
BOARDS = sorted(path.parent.name for path in TREES.glob("*/tree.txt"))
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\0": "\0", "\\\\": "\\"}


def unpack(board: str, root: Path) -> Path:
    """Writes the tree below ``root``."""
    for line in (TREES / board / "tree.txt").read_text().splitlines():
        name, _, content = line.partition("\t")
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_text(re.sub(r"\\[nt0\\]", lambda found: _ESCAPES[found[0]], content))
    return root
