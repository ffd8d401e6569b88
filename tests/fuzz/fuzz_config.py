"""Configurations: read by ``config``, and one in fifty by ``fer-edge config check`` or ``show``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from commands import command
from damage import damage_text, one_of
from harness import Case, one_line

from fer_edge import config
from fer_edge.cli import main
from fer_edge.errors import EdgeError

SILENT = True
EVERY = 50  # a check reads the whole bundle that the file names
ODD = (
    *("nan", "-inf", "1e400", "99999999999999999999", "-1", '"\\u0000"', "''", "[[]]", "{a = 1}", "1979-05-27"),
    *("true", '"' + "x" * 3000 + '"', "0x", "", '"\\u001b[2J"', "1979-05-27T07:32:00Z", "[1, 'a']", '"../../x"'),
    *('"rtsp://user:pass@host:99999/"', '"synthetic://?n=1e9"', "9" * 5000, "[" * 500, "{" * 500, '"""\n"""'),
    *('"file:///dev/zero"', '"/dev/zero"', '"é"', "0.0000001", "1_000", "-0.0", '["\\ud7ff"]', "07:32:00"),
)


def damage_config(rng: np.random.Generator, content: bytes) -> bytes:
    """A value of one line replaced by an odd one, a line or table elsewhere, or bytes damaged."""
    if rng.integers(0, 3) == 0:
        return damage_text(rng, content)
    lines = content.decode().split("\n")
    keys = [i for i, line in enumerate(lines) if "=" in line]
    for _ in range(int(rng.integers(1, 4))):
        i = one_of(rng, keys)
        name = lines[i].lstrip("# ").partition("=")[0]
        kind = int(rng.integers(0, 8))
        if kind == 0:
            lines[i] = f"{name[::-1]}= 1"
        elif kind == 1:
            lines[i] = one_of(rng, lines)
        elif kind == 2:
            lines[i] = f"[{name.strip()}]"
        else:
            lines[i] = f"{name}= {one_of(rng, ODD)}"
    return "\n".join(lines).encode()


@contextmanager
def cases(folder: Path) -> Iterator[Case]:
    good, file = config.as_toml(config.Config()).encode(), folder / "fuzz.toml"

    def case(rng: np.random.Generator, index: int) -> str:
        content = damage_config(rng, good)
        if index % EVERY == 0:
            file.write_bytes(content)
            action = ("check", "show")[index // EVERY % 2]
            return f"{action} {command(main, 'fer-edge', 'config', action, file, most_lines=20)}"
        try:
            config.decode(config.parse(content, "fuzz.toml"))
        except EdgeError as error:
            for each in getattr(error, "each", (error,)):
                one_line(str(each))
            return "refused"
        return "read"

    yield case
