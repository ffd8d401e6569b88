"""The sinks that send: metrics, the page, MQTT. None of them delays a frame."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from fer_edge.config import Config
from fer_edge.contract.bundle import Bundle
from fer_edge.sinks.running import Running
from fer_edge.sinks.web.controls import Controls
from fer_edge.types import Sink

log = logging.getLogger(__name__)


def open_senders(
    config: Config,
    bundle: Bundle,
    running: Running,
    controls: Controls,
    instance: Callable[[], str],
    cleanup: contextlib.ExitStack,
) -> list[Sink]:
    """Opens those that are configured.

    Args:
        config: of the run.
        bundle: names the labels.
        running: what runs, for those that tell.
        controls: what the page and MQTT may ask.
        instance: what tells this run from others on this machine and broker.
        cleanup: closes them.

    Raises:
        UsageError: a value that cannot be used, e.g. a port that is taken.
    """
    sinks: list[Sink] = []

    def add(sink: Sink) -> None:
        sinks.append(sink)
        cleanup.callback(sink.close)

    labels = bundle.manifest.labels
    page = ""
    if config.web.enabled or config.metrics.enabled:
        from fer_edge.sinks.metrics import MetricsSink
        from fer_edge.sinks.web.sink import WebSink

        metrics = MetricsSink(running, labels) if config.metrics.enabled else None
        if metrics is not None:
            add(metrics)
        web = WebSink(config.web, controls, metrics, config.web.enabled, running)
        add(web)
        web.invite(log.warning)
        page = web.url if config.web.enabled and web.token is not None else ""  # others reach it
    if config.mqtt.host:
        from fer_edge.sinks.mqtt.sink import MqttSink

        def switch(on: bool) -> None:
            (controls.start if on else controls.stop)()

        add(MqttSink(config.mqtt, labels, running, instance(), page, switch))
    return sinks
