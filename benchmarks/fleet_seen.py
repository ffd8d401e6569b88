"""Do one broker and one Prometheus see a fleet? Twenty real ``fer-edge run``, a hundred boards, and the arithmetic.

python benchmarks/fleet_seen.py      (as root, .venv-device; mosquitto, prometheus; 10 minutes; writes results/)

Each board has a machine id and a host name of its own (namespaces). Everything is on one machine: its load is part of
every time here, the network is not.
"""
# ruff: noqa: E402  # the tests' helpers lie elsewhere

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "device"), str(ROOT / "benchmarks")]
import fleet_helpers as fleet
import mqtt_helpers as mqtt
import web_helpers as helpers

from fer_edge.board.identify import kib_field, read_text
from fleet_board import LightBoard, RealBoard, read_once
from fleet_text import page
from written import write

RESULTS = ROOT / "benchmarks" / "results" / "fleet_seen.md"
FPS = {"real": 0.5, "light": 5.0}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """What one phase measured; bytes and seconds are those of its processes, per second where the name says so."""

    kind: str
    boards: int
    seconds: float
    board_pss_bytes: float  # mean of the boards
    devices: int  # different ids in discoveries
    retained: int  # topics of the boards
    complaints: int | None  # None where no log was looked at
    messages_per_s: float
    bytes_per_s: float
    broker_before_bytes: int
    broker_bytes: int
    broker_cpu: float  # cores
    up: int
    every_s: int
    page_bytes: float
    page_samples: float
    kept_samples: float
    scrape_s: float
    longest_scrape_s: float
    server_bytes: int
    server_cpu: float
    series: int
    appended: int
    wal_bytes: int
    block_bytes: int
    block_samples: int


def memory(pid: int, field: str = "Pss") -> int:
    """Bytes of a process."""
    return kib_field(read_text(Path(f"/proc/{pid}/smaps_rollup")), field) or 0


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def folder_bytes(folder: Path) -> int:
    """Of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Numbers:
    """The broker's own, under ``$SYS``."""

    def __init__(self, port: int) -> None:
        self._at: dict[str, float] = {}
        self._client: Any = mqtt.paho.Client(mqtt.paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("$SYS/broker/#")
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _: Any, __: Any, message: Any) -> None:
        with suppress(ValueError):  # a version, a time in words
            self._at[message.topic.removeprefix("$SYS/broker/")] = float(message.payload)

    def __call__(self, name: str) -> float:
        """The newest; waits for the first."""
        helpers.until(lambda: name in self._at, f"$SYS/broker/{name}")
        return self._at[name]

    def end(self) -> None:
        """Lets go."""
        self._client.disconnect()
        self._client.loop_stop()


def retained_topics(port: int) -> set[str]:
    """What a client that comes late is told at once."""
    late = mqtt.Ear(port)
    time.sleep(5)
    late.end()
    return {topic for topic, _, retained in late.heard if retained}


def own_numbers(server: fleet.Prometheus) -> dict[str, float]:
    """Prometheus' of itself."""
    text = helpers.ask(server.port, "GET", "/metrics")[2].decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def phase(kind: str, boards: int, seconds: float, every_s: int, read: Any) -> Seen:
    """Starts everything, waits until all are seen, measures for so long, ends everything."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        root = Path(name)
        broker = mqtt.Broker(root, "allow_anonymous true", "sys_interval 1")
        broker.start()
        stack.callback(broker.end)
        assert broker.process is not None
        numbers = Numbers(broker.port)
        stack.callback(numbers.end)
        before = memory(broker.process.pid)
        make: Callable[..., RealBoard | LightBoard] = RealBoard if kind == "real" else LightBoard
        more = () if kind == "real" else (read,)
        running, ports = [], dict[int, str]()
        for i in range(boards):
            running.append(make(f"board{i:03}", root / f"board{i:03}", broker.port, FPS[kind], *more))
            stack.callback(running[-1].end)
            ports[running[-1].port()] = f"site{i % 4}"
        (root / "server").mkdir()
        config = fleet.configured(root / "server", every_s, ports)
        server = stack.enter_context(fleet.Prometheus(config, root / "server", "--web.enable-admin-api"))
        assert server.process is not None
        helpers.until(lambda: _count(server, 'up{job="fer-edge"} == 1') == boards, "all are scraped", 300)
        ear = mqtt.Ear(broker.port)
        stack.callback(ear.end)
        helpers.until(lambda: len({t for t, _, _ in list(ear.heard) if t.endswith("/config")}) == boards, "all", 300)
        time.sleep(10)  # what happens once is over
        kept = retained_topics(broker.port)
        names = ("publish/messages/received", "bytes/received")
        pids = (broker.process.pid, server.process.pid)
        begun_s, told, used = time.monotonic(), [numbers(n) for n in names], [cpu_s(pid) for pid in pids]
        time.sleep(seconds)
        took_s = time.monotonic() - begun_s
        messages, received = ((numbers(n) - a) / took_s for n, a in zip(names, told, strict=True))
        cores = [(cpu_s(pid) - a) / took_s for pid, a in zip(pids, used, strict=True)]
        window = f"[{int(seconds)}s]"
        own = own_numbers(server)
        data = root / "server" / "data"
        wal = folder_bytes(data / "wal")
        snapshot = data / "snapshots" / server.api("admin/tsdb/snapshot", "POST")["name"]
        token = {"Authorization": f"Bearer {fleet.TOKEN}"}
        pages = [len(helpers.ask(port, "GET", "/metrics", headers=token)[2]) for port in ports]
        appended = int(_appended(own))
        return Seen(
            kind=kind,
            boards=boards,
            seconds=took_s,
            board_pss_bytes=sum(memory(board.pid) for board in running) / boards,
            devices=len({topic for topic in kept if topic.endswith("/config")}),
            retained=len(kept),
            complaints=sum(len(b.complaints()) for b in running if isinstance(b, RealBoard))
            if kind == "real"
            else None,
            messages_per_s=messages,
            bytes_per_s=received,
            broker_before_bytes=before,
            broker_bytes=memory(broker.process.pid),
            broker_cpu=cores[0],
            up=_count(server, 'up{job="fer-edge"} == 1'),
            every_s=every_s,
            page_bytes=sum(pages) / boards,
            page_samples=_value(server, 'avg(scrape_samples_scraped{job="fer-edge"})'),
            kept_samples=_value(server, 'avg(scrape_samples_post_metric_relabeling{job="fer-edge"})'),
            scrape_s=_value(server, f"avg(avg_over_time(scrape_duration_seconds{window}))"),
            longest_scrape_s=_value(server, f"max(max_over_time(scrape_duration_seconds{window}))"),
            server_bytes=memory(server.process.pid),
            server_cpu=cores[1],
            series=int(own["prometheus_tsdb_head_series"]),
            appended=appended,
            wal_bytes=wal,
            block_bytes=folder_bytes(snapshot),
            block_samples=appended,
        )


def _appended(own: dict[str, float]) -> float:
    return sum(value for name, value in own.items() if name.startswith("prometheus_tsdb_head_samples_appended_total"))


def _count(server: fleet.Prometheus, expression: str) -> int:
    return len(server.value(expression))


def _value(server: fleet.Prometheus, expression: str) -> float:
    return float(server.value(expression)[0]["value"][1])


def main() -> None:
    """The three phases, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "fleet_seen.jsonl", help="phases that are done")
    arguments = parser.parse_args()
    done = [Seen(**json.loads(line)) for line in read_text(arguments.kept).splitlines()]
    read = read_once(32)
    seen = []
    for kind, boards, every_s in (("light", 20, 1), ("light", 100, 1), ("real", 20, 2)):
        found = next((each for each in done if (each.kind, each.boards) == (kind, boards)), None)
        if found is None:
            found = phase(kind, boards, arguments.seconds, every_s, read)
            with arguments.kept.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
        print(found, flush=True)
        seen.append(found)
    write(RESULTS, page(seen))


if __name__ == "__main__":
    main()
