"""The web page as a sink: the standard library's server, hardened, in threads of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable

from fer_edge.program.threads import GuardedThread
from fer_edge.sinks.metrics import MetricsSink
from fer_edge.sinks.running import Running
from fer_edge.sinks.web import policy
from fer_edge.sinks.web.connection import LimitedServer
from fer_edge.sinks.web.controls import Controls
from fer_edge.sinks.web.handler import Handler
from fer_edge.sinks.web.live import Live
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.site import Site
from fer_edge.sinks.web.token_place import find_token, show
from fer_edge.types import FrameReading, Status


class WebSink:
    """Serves the page from threads of its own; ``publish`` only puts the reading down for them.

    Args:
        settings: see there; ``enabled`` is not looked at.
        controls: the camera's switch and the reader of photos.
        metrics: is given out at ``/metrics``; None for none.
        page: False serves ``/metrics`` alone.
        running: what reads, for the page to say.

    Raises:
        UsageError: a setting that cannot be used, or an address that cannot be listened on.
    """

    live: Live

    name = "web"

    def __init__(
        self,
        settings: WebSettings,
        controls: Controls,
        metrics: MetricsSink | None = None,
        page: bool = True,
        running: Running | None = None,
    ) -> None:
        self.settings = settings
        self.token, self._token_file = find_token(settings)
        self.live = Live(settings)
        self._site = Site(settings, controls, self.live, self.token, metrics, page, running)
        handler = type(
            "SiteHandler", (Handler,), {"site": self._site, "policy": policy.headers(settings.frame_ancestors)}
        )
        self._server = LimitedServer(settings.address, settings.port, handler)
        self._closed = False
        self._thread = GuardedThread("web", lambda: self._server.serve_forever(poll_interval=0.2))
        self._thread.start()

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self._server.server_address[1])

    @property
    def dropped(self) -> int:
        """Viewers cut off because they did not read what was sent."""
        return self._site.stalled

    @property
    def url(self) -> str:
        """Where the page is, without a token."""
        address = self.settings.address
        name = _own_address() if address in ("0.0.0.0", "::", "") else address
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}/"

    def invite(self, say: Callable[[str], None]) -> None:
        """Tells a person where the page is, and the token or where it is.

        Args:
            say: writes a line that may be kept, in a log; it never gets the token.
        """
        if self.token is None:
            say(f"web: {self.url}")
        elif self._token_file:
            say(f"web: {self.url} (token: in {self._token_file})")
        else:
            show(f"fer-edge: web: {self.url}?token={self.token.text}")

    def publish(self, reading: FrameReading) -> None:
        """Puts the newest reading down for those who watch; makes no picture."""
        self.live.publish(reading)

    def status(self, status: Status) -> None:
        """Puts the newest status down."""
        self.live.status(status)

    def close(self) -> None:
        """Ends the server and every connection; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.live.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.close(2)


def _own_address() -> str:
    """The address by which this machine goes out; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of the block for documentation: nobody's
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
