"""``fer-edge web``: the page without a camera, until a signal ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from fer_edge.contract.process import DONE, INTERRUPTED
from fer_edge.sinks.running import Running
from fer_edge.sinks.web.controls import Controls
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.sink import WebSink


def serve(settings: WebSettings, controls: Controls, say: Callable[[str], None], running: Running | None = None) -> int:
    """Serves until SIGINT or SIGTERM; gives the exit status, 130 after SIGINT.

    Raises:
        UsageError: see ``WebSink``.
    """
    ended = threading.Event()
    names: list[str] = []

    def end(number: int, _: FrameType | None) -> None:
        names.append(signal.Signals(number).name)
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        web = WebSink(settings, controls, running=running)
        web.invite(say)
        try:
            while not ended.wait(0.2):  # short waits: a signal just before a long one would go unheard
                pass
        finally:
            web.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    say(f"{names[0]}: stopped")
    return INTERRUPTED if names[0] == "SIGINT" else DONE
