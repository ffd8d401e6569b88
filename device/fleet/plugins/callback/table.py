"""At the end of a roll-out: one table that says what happened on which board, also where the roll-out stopped."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: table
type: aggregate
author: fer-edge
version_added: 0.1.0
short_description: One table of what happened on which board
description:
  - Shows the version before and after, what was done and why it was not, for every board of a play of this collection.
  - Needs to be named in C(callbacks_enabled).
options:
  file:
    description: also write the table there, as JSON.
    type: path
    env:
      - name: FER_EDGE_FLEET_TABLE
    ini:
      - section: fer_edge_fleet
        key: table
"""
COLUMNS = ("board", "before", "after", "what", "why", "s")
LONGEST = 100  # characters of a reason


class CallbackModule(CallbackBase):
    """Gathers each board's ``fer_edge_outcome``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fer_edge.fleet.table"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Nothing is known yet."""
        super().__init__()
        self.boards: dict[str, dict[str, Any]] = {}
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.started = time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Every board of the play has a row, also those that are never reached."""
        for host in play.get_variable_manager()._inventory.get_hosts(play.hosts):
            if host.name != "localhost":
                self.boards.setdefault(host.name, {"before": "?", "after": "?", "what": "not reached", "why": ""})

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A board's time begins with its first task after the survey."""
        if self.boards.get(host.name, {}).get("what") == "in work":
            self.began.setdefault(host.name, time.monotonic())

    def v2_runner_on_ok(self, result: Any) -> None:
        """Takes a board's outcome from the role's own facts."""
        row = self.boards.get(result._host.name)
        if row is not None and row["before"] == "?" and "verifies" in result._result:  # of board_info
            row["before"] = row["after"] = result._result["version"]
        facts = result._result.get("ansible_facts") or {}
        outcome = facts.get("fer_edge_outcome")
        if isinstance(outcome, dict):
            row = self.boards.setdefault(result._host.name, {})
            row.update({"why": "", **outcome})
        self.ended[result._host.name] = time.monotonic()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure that no rescue takes: the board's row says so unless the role has said it already."""
        row = self.boards.get(result._host.name)
        if row is not None and not ignore_errors and row["what"] in ("not reached", "in work"):
            message = str(result._result.get("msg", "failed"))
            row["why"] = f"{result._task.get_name().split(' : ')[-1]}: {message}"
            row["failing"] = "failed"
        self.ended[result._host.name] = time.monotonic()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """The network to a board, or the board itself, is gone."""
        row = self.boards.get(result._host.name)
        if row is not None:
            row["why"] = str(result._result.get("msg", "")).strip().splitlines()[-1:] or [""]
            row["why"] = row["why"][0]
            row["failing"] = "does not answer"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Shows the table."""
        if not any("failing" in row or row["what"] != "not reached" for row in self.boards.values()):
            return
        rows = [self._row(name) for name in sorted(self.boards)]
        shown = [{name: str(cell if cell is not None else "") for name, cell in row.items()} for row in rows]
        widths = {name: max([len(name), *(len(row[name]) for row in shown)]) for name in COLUMNS}
        self._display.banner("BOARDS")
        for row in [{name: name for name in COLUMNS}, *shown]:
            self._display.display("  ".join(row[name].ljust(widths[name]) for name in COLUMNS).rstrip())
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["what"]] = counts.get(row["what"], 0) + 1
        said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        self._display.display(f"{len(rows)} boards in {time.monotonic() - self.started:.0f} s: {said}")
        self._write(rows)

    def _row(self, name: str) -> dict[str, Any]:
        board = self.boards[name]
        what = board["what"]
        if "failing" in board and what in ("not reached", "in work"):
            what = board["failing"]
            if board["what"] == "in work":
                board["after"] = "?"
        seconds = round(self.ended[name] - self.began[name], 1) if name in self.began and name in self.ended else None
        why = " ".join(str(board.get("why") or "").split())
        return {
            "board": name,
            "before": board["before"] or "-",
            "after": board["after"] or "-",
            "what": what,
            "why": why if len(why) <= LONGEST else why[: LONGEST - 1] + "…",
            "s": seconds,
        }

    def _write(self, rows: list[dict[str, Any]]) -> None:
        path = self.get_option("file")
        if not path:
            return
        document = {"schema": "fer-edge/fleet-table/1", "boards": rows}
        target = Path(os.path.expanduser(path))
        unfinished = target.with_name(f".{target.name}.tmp")
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(target)
