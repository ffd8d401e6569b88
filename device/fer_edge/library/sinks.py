"""Where a program's readings go: the command's own sinks, for ``Reading``."""

from __future__ import annotations

import os
from types import TracebackType

from fer_edge.contract.reading import dump_line
from fer_edge.library.reader import Reader, running_of
from fer_edge.library.reading import Reading, document_of, inner_of
from fer_edge.sinks.lines import LineFile
from fer_edge.sinks.mqtt.settings import MqttSettings
from fer_edge.sinks.mqtt.sink import MqttSink as Sender


class JsonlSink:
    """One JSON line a reading, appended to a file; a line that was written is whole and stays. Use it in a ``with``.

    Args:
        path: of the file, which other lines may be in already; "-" is standard output.
        strict: a line that cannot be written, e.g. on a full disk, is an error; else it is counted in ``dropped``.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, strict: bool = True) -> None:
        self._path = os.fspath(path)
        self._lines = LineFile("jsonl", self._path, strict)

    @property
    def dropped(self) -> int:
        """Readings that could not be written."""
        return self._lines.dropped

    def publish(self, reading: Reading) -> None:
        """Writes ``reading.to_dict()`` as a line; it is handed to the system when this returns.

        Raises:
            UsageError: strict, and it cannot be written.
            BrokenPipeError: the reader of standard output has gone.
        """
        self._lines.append((dump_line(document_of(reading)) + "\n").encode())

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._lines.close()

    def __enter__(self) -> JsonlSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"JsonlSink({self._path!r})"


class MqttSink:
    """Readings over MQTT, with Home Assistant's discovery, as ``fer-edge run --mqtt-host`` sends them.

    The network has a thread of its own: ``publish`` never waits, also without a broker. Use it in a ``with``.

    Args:
        reader: whose readings these are: its labels and model are told to Home Assistant.
        host: of the broker.
        port: of the broker; 0 takes 1883, or 8883 with TLS.
        username: for the broker; "" for none.
        password_file: file whose first line is the password.
        tls: encrypt, and check the broker's certificate and name.
        ca_file: certificate authority to trust in place of the system's.
        topic_prefix: before everything that is published.
        discovery: tell Home Assistant of this device.
        device_id: unique among all devices of the broker; "" makes one from this machine and ``instance``.
        device_name: for people; "" takes the host's name.
        instance: tells several programs on one machine apart.
        interval_s: between two states while nothing changes.

    Raises:
        UsageError: paho-mqtt is not installed, or a file that cannot be used. A broker that is not there is no error:
            it is tried again for as long as it takes.
        SchemaError: a value that cannot be used.
    """

    def __init__(
        self,
        reader: Reader,
        host: str = "localhost",
        *,
        port: int = 0,
        username: str = "",
        password_file: str | os.PathLike[str] = "",
        tls: bool = False,
        ca_file: str | os.PathLike[str] = "",
        topic_prefix: str = "fer-edge",
        discovery: bool = True,
        device_id: str = "",
        device_name: str = "",
        instance: str = "",
        interval_s: float = 1.0,
    ) -> None:
        settings = MqttSettings(
            host=host,
            port=port,
            username=username,
            password_file=os.fspath(password_file),
            tls=tls,
            ca_file=os.fspath(ca_file),
            topic_prefix=topic_prefix,
            discovery=discovery,
            device_id=device_id,
            device_name=device_name,
            interval_s=interval_s,
        )
        self._sender = Sender(settings, reader.labels, running_of(reader), instance)

    @property
    def connected(self) -> bool:
        """The broker has answered, and the connection stands."""
        return self._sender.connected

    @property
    def dropped(self) -> int:
        """States that were due and could not be sent."""
        return self._sender.dropped

    @property
    def topic(self) -> str:
        """Where the state is published, a JSON document with ``faces``, ``expression`` and ``probability_percent``."""
        return self._sender.topics.state

    def publish(self, reading: Reading) -> None:
        """Sends the state, if it is time for one; never a picture."""
        self._sender.publish(inner_of(reading))

    def close(self) -> None:
        """Says offline and disconnects, in at most about 2 s; safe to call twice."""
        self._sender.close()

    def __enter__(self) -> MqttSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        settings = self._sender.settings
        return f"MqttSink({settings.host}:{settings.port_}, {self.topic})"
