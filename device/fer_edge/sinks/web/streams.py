"""What a page that watches gets for as long as it does: the live picture, and readings as events."""

from __future__ import annotations

import time
from http import HTTPStatus

from fer_edge.sinks.encode import to_json
from fer_edge.sinks.web.connection import has_gone
from fer_edge.sinks.web.exchange import Exchange, Refused
from fer_edge.sinks.web.site import Site, document

READINGS_HZ = 8.0
AT_ONCE = {"X-Accel-Buffering": "no"}  # nginx would hold a stream back until it has 4 KiB


class Streams(Exchange):
    """The two addresses that do not end by themselves; each takes a viewer's slot."""

    site: Site  # of the subclass that ``WebSink`` makes

    def _stream(self) -> None:
        """Motion JPEG, newest picture only: a viewer that is slow gets fewer of them."""
        site, number = self.site, 0
        self._viewer()
        try:
            self._answer(None, "multipart/x-mixed-replace; boundary=picture", more=AT_ONCE)
            if self.command == "HEAD":
                return
            self.wfile.write(b"--picture\r\n")
            while not site.live.closed:
                due = time.monotonic() + 1 / site.settings.max_fps
                latest = site.live.wait(number, 1.0)
                if has_gone(self.connection):
                    return
                picture = site.live.picture(latest) if latest.number > number else b""
                number = latest.number
                if picture:  # the boundary after it shows a browser at once that it is whole
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                    self._write(head + picture + b"\r\n--picture\r\n")
                    time.sleep(max(0.0, due - time.monotonic()))
        finally:
            site.viewer_slots.release()

    def _events(self) -> None:
        """Server-sent events: state and last minute at first and once a second, readings between."""
        site, number, told_s = self.site, 0, 0.0
        self._viewer()
        try:
            self._answer(None, "text/event-stream; charset=utf-8", more=AT_ONCE)
            if self.command == "HEAD":
                return
            while not site.live.closed:
                now = time.monotonic()
                if now - told_s >= 1:
                    told_s = now
                    self._event("state", site.state())
                latest = site.live.wait(number, 0.5)
                if has_gone(self.connection):
                    return
                if latest.reading is not None and latest.number > number:
                    age_s = round(latest.reading.age_s or 0.0, 3)
                    self._event("reading", {"age_s": age_s, "reading": document(latest.reading)})
                    time.sleep(1 / READINGS_HZ)
                number = latest.number
        finally:
            site.viewer_slots.release()

    def _viewer(self) -> None:
        if not self.site.viewer_slots.acquire(blocking=False):
            most = self.site.settings.max_viewers
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_viewers", f"{most} are watching already")

    def _event(self, name: str, content: object) -> None:
        self._write(b"event: %s\ndata: %s\n\n" % (name.encode(), to_json(content)))

    def _write(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
        except TimeoutError:
            self.site.stalled += 1
            raise
