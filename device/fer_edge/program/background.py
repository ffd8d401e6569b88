"""The list of every thread in the background of the device program: who starts it, and what becomes of an error in it.

A test walks the source and finds no other; another one lets them run and finds no other name. What all have in common:
an error is logged with its traceback the first time, and counted in ``fer_edge_thread_errors_total{thread=…}``.
Threads of native libraries (OpenCV, FFmpeg, XNNPACK) run no Python: what ends one ends the process, and systemd begins
a new one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

GUARDED: Literal["guarded"] = "guarded"
ONCE: Literal["once"] = "once"
LIBRARY: Literal["library"] = "library"


class Background(NamedTuple):
    """One kind of thread.

    Attributes:
        name: that each of them begins with; the metric's label.
        file: that starts it.
        kind: "guarded" begins again after an error, with a back-off, and starves the watchdog where it is dead; "once"
            does one thing, and who waits for it hears of the error; "library" is started by a library.
        ends: what it is for, and how its end is seen.
    """

    name: str
    file: str
    kind: Literal["guarded", "once", "library"]
    ends: str


THREADS = (
    Background("health", "board/health.py", GUARDED, "heat and alarms of the board"),
    Background("sink ", "sinks/fanout.py", GUARDED, "a slow sink behind its queue"),
    Background("web", "sinks/web/sink.py", GUARDED, "takes connections"),
    Background("sampler", "profiler/sampler.py", GUARDED, "power and heat of a measurement; gaps are in the report"),
    Background(
        "web connection",
        "sinks/web/connection.py",
        LIBRARY,
        "one visitor (socketserver), photos too: an error ends the connection, and the next one is taken",
    ),
    Background(
        "mqtt",
        "sinks/mqtt/sink.py",
        LIBRARY,
        "the connection to the broker (paho's loop): begins anew after an error, and starves the watchdog where dead",
    ),
    Background("mqtt answer", "sinks/mqtt/sink.py", ONCE, "cuts a broker that says nothing; one a connection"),
    Background("mqtt stop", "sinks/mqtt/sink.py", ONCE, "paho's end, which may hang; waited for 1 s"),
    Background(
        "capture",
        "sources/live.py",
        ONCE,
        "a camera: its error stands where the next frame would, frames that do not come are noticed; then a new one",
    ),
    Background("receive", "sources/http.py", ONCE, "takes a stream; its error stands where the next frame would"),
    Background("bundle", "daemon/newcomer.py", ONCE, "tries a new bundle on a reload; the one in use goes on"),
    Background("packets", "sources/parts.py", ONCE, "feeds a decoder: its end closes the pipe"),
    Background("afollow", "library/waiting.py", ONCE, "a program's frames: each error is raised where it awaits them"),
    Background("batch", "library/batch.py", LIBRARY, "a program's pictures: an error is raised in their place"),
    Background("interrupt", "contract/process.py", LIBRARY, "says Ctrl-C again in a moment: one call"),
)
OTHER = "other"  # picamera2's, for one: its end is seen by the frames that do not come


def name_of(thread: str) -> str:
    """The name in the list that a thread's name begins with, the longest such; "other" where there is none."""
    found = [row.name for row in THREADS if thread == row.name or thread.startswith(f"{row.name.rstrip()} ")]
    best = max(found, key=len, default=OTHER)
    return thread if best.endswith(" ") else best  # each sink by itself
