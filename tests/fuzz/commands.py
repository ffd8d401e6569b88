"""A command run in this process, as a user's line would be: its status, and what it says, held to the promise."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

from harness import Fault, one_line


def command(main: Callable[[list[str]], int], program: str, *line: object, most_lines: int = 1) -> str:
    """Runs a command line: "done", or "refused" in at most ``most_lines`` lines with status 2.

    Raises:
        Fault: another status, or something else on stderr.
    """
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            status = main([str(word) for word in line])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    said = errors.getvalue()
    if "\x1b" in out.getvalue():
        raise Fault(f"a control character reaches the terminal: {out.getvalue()[:200]!r}")
    if status == 0:
        return "done"
    lines = said.removesuffix("\n").split("\n")
    if status != 2 or len(lines) > most_lines:
        raise Fault(f"status {status}, {len(lines)} lines: {said[:300]!r}")
    for text in lines:
        one_line(text)
        if not text.startswith(f"{program}: error: "):
            raise Fault(f"not our line: {text[:200]!r}")
    return "refused"
