"""Log lines: text for people, key=value with a priority for the journal; the same message at most once an interval."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

from fer_edge.contract.bounds import LOG_KINDS as MOST_KINDS
from fer_edge.contract.limits import Limited, within
from fer_edge.contract.redact import redacted

# man sd-daemon: the journal takes a leading <n> as syslog's priority
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


@dataclass(frozen=True)
class LogSettings(Limited):
    """The ``[log]`` table.

    Args:
        level: the least that is logged: debug, info, warning or error.
        format: "text" for people, "kv" for key=value; "auto": kv in the journal, else text.
        interval_s: the same message (numbers aside) is logged at most once in so long, with a count of the others.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "kv"] = "auto"
    interval_s: float = within(10.0, 0, 86400, "s")


class RateLimit(logging.Filter):
    """Lets a message through once an interval; says then how many were kept back.

    Args:
        interval_s: 0 lets everything through.
        clock: monotonic, in s.
    """

    interval_s: float

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.interval_s, self._clock = interval_s, clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False where the message was there a moment ago."""
        text = record.getMessage()
        kind = (record.name, record.levelno, re.sub(r"\d+", "#", text))
        now_s = self._clock()
        last_s, held_back = self._seen.pop(kind, (-float("inf"), 0))
        if now_s - last_s < self.interval_s:
            self._seen[kind] = (last_s, held_back + 1)
            return False
        if len(self._seen) >= MOST_KINDS:
            del self._seen[next(iter(self._seen))]
        self._seen[kind] = (now_s, 0)
        if held_back:
            record.msg, record.args = f"{text} ({held_back} more like it in {now_s - last_s:.0f} s)", ()
        return True


class KeyValue(logging.Formatter):
    """``level=warning logger=fer_edge.sinks.mqtt msg="…"``, one line per record; on demand with a priority."""

    def __init__(self, with_priority: bool) -> None:
        super().__init__()
        self._with_priority = with_priority

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback's lines are joined by " | "."""
        text = f"level={record.levelname.lower()} logger={record.name} msg={quoted(record.getMessage())}"
        if record.exc_info:
            text += f" exception={quoted(' | '.join(self.formatException(record.exc_info).splitlines()))}"
        if self._with_priority:
            return f"<{next(number for level, number in PRIORITIES if record.levelno >= level)}>{text}"
        return f"t={time.strftime('%Y-%m-%dT%H:%M:%S%z', time.localtime(record.created))} {text}"


def quoted(text: str) -> str:
    """A value of key=value: in quotes, on one line."""
    return '"' + " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream goes to the journal: JOURNAL_STREAM holds its device and inode (man systemd.exec)."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at that moment; Argus replaces it while running."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without the logins of URLs, whoever wrote it."""
        return redacted(super().format(record))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute in StreamHandler
        """Standard error."""
        return sys.stderr


def set_up(settings: LogSettings, environ: Mapping[str, str] | None = None) -> None:
    """Sends what fer-edge logs to stderr; calling it again takes other settings."""
    journal = in_journal(sys.stderr, os.environ if environ is None else environ)
    handler = _Stderr()
    if settings.format == "kv" or (settings.format == "auto" and journal):
        handler.setFormatter(KeyValue(journal))
    else:
        handler.setFormatter(logging.Formatter("fer-edge: %(message)s"))
    handler.addFilter(RateLimit(settings.interval_s))
    logger = logging.getLogger("fer_edge")
    logger.handlers[:] = [handler]
    logger.setLevel(settings.level.upper())
    logger.propagate = False


def say(text: str) -> None:
    """One line for the person who started the command, whatever the level; structured like the others."""
    logger = logging.getLogger("fer_edge")
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, text, (), None)
    for handler in logger.handlers:
        handler.handle(record)
