"""Many boards seen together: the configuration, alerts and dashboard of device/fleet/monitoring, with real boards.

Two real ``fer-edge run``, one of them with a Raspberry Pi's sensors, are scraped by a real Prometheus with the fleet's
own configuration; every expression of the dashboard is asked of it.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fleet_helpers as fleet
import pytest
import web_helpers as helpers
from fleet_helpers import MONITORING, Prometheus

DASHBOARD = MONITORING / "grafana-dashboard.json"
UNIT_TESTS = Path(__file__).parent / "alerts.test.yml"
METRIC = re.compile(r"\b(?:fer_edge|process)_[a-z_]+\b|\bup\b")
RECORDED = re.compile(r"\bfer_edge:[a-z_:]+\b")  # by our own rules


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def panel_expressions() -> list[tuple[str, str]]:
    """Title and expression of each query, as Grafana would send it for all boards."""
    return [
        (panel["title"], filled(target["expr"]))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def filled(expression: str) -> str:
    for name, value in {"$__rate_interval": "30s", "$instance": ".*", "$job": "fer-edge"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


@dataclass
class Watched:
    prometheus: Prometheus
    well: str  # with a Pi's sensors
    plain: str  # whose page is as it is on this machine
    tls: str  # the same, over TLS
    pages: dict[str, str]
    end_of_plain: ExitStack


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    helpers.needs("prometheus")
    folders = {name: tmp_path_factory.mktemp(name) for name in ("pi", "plain", "prometheus")}
    with ExitStack() as stack, ExitStack() as end_of_plain:
        pi = fleet.in_own_namespace(folders["pi"], "pi", "pi5")
        ports = {
            "pi": stack.enter_context(fleet.board(*pi, folder=folders["pi"])),
            "plain": end_of_plain.enter_context(fleet.board(folder=folders["plain"])),
        }
        config = fleet.configured(folders["prometheus"], 1, {port: name for name, port in ports.items()})
        tls = stack.enter_context(fleet.tls_in_front(ports["pi"], folders["pi"], config))
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        with Prometheus(config, folders["prometheus"]) as server:
            for instance in at.values():
                told = f'fer_edge_frames_total{{instance="{instance}"}}'
                helpers.until(
                    lambda told=told: [
                        s for s in server.value(f"count_over_time({told}[1m])") if int(s["value"][1]) > 3
                    ],
                    f"{instance} was scraped",
                )
            token = {"Authorization": f"Bearer {fleet.TOKEN}"}
            pages = {
                at[name]: helpers.ask(port, "GET", "/metrics", headers=token)[2].decode()
                for name, port in ports.items()
            }
            yield Watched(server, at["pi"], at["plain"], tls, pages, end_of_plain)


def test_the_configuration_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    promtool = helpers.needs("promtool", "prometheus")
    config = fleet.configured(tmp_path, 15, {8080: "here"})
    assert config.read_text() == (MONITORING / "prometheus.yml").read_text()  # what is tested is what is shipped
    subprocess.run([promtool, "check", "config", config], check=True, capture_output=True)
    (tmp_path / "token").unlink()
    assert subprocess.run([promtool, "check", "config", config], check=False, capture_output=True).returncode != 0


def test_every_alert_has_a_unit_test_that_fires_and_one_that_does_not() -> None:
    promtool = helpers.needs("promtool", "prometheus")
    done = subprocess.run([promtool, "test", "rules", UNIT_TESTS], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = set(re.findall(r"- alert: (\w+)", (MONITORING / "fer-edge.rules.yml").read_text()))
    tests = UNIT_TESTS.read_text()
    assert alerts == set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests))
    assert alerts == set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))


SPOILT = {  # in each rule, something that still is a rule
    "FerEdgeSilent": ("== 0", "== 1"),
    "FerEdgeNoFrames": ("unless on", "and on"),
    "FerEdgeHot": (">= 78", ">= 85"),
    "FerEdgeThrottled": ("for: 2m", "for: 9m"),
    "FerEdgeDropping": ('place!="source"', 'place="source"'),
    "FerEdgeDroppingFrames": ("> 0.9", "> 0.5"),
    "FerEdgeOldFrames": ("0.95,", "0.05,"),
    "FerEdgeSlow": ("(0.5 * quantile by (job, board,", "(2 * quantile by (job, board,"),
    "FerEdgeErrors": ("> 0", "> 1"),
    "FerEdgeRestarts": (">= 3", ">= 1"),
    "FerEdgeOldVersion": ("unless on (version)", "and on (version)"),
}


def test_the_unit_tests_notice_a_rule_that_is_spoilt(tmp_path: Path) -> None:
    promtool = helpers.needs("promtool", "prometheus")
    head, *rules = re.split(r"(?=      - alert: )", (MONITORING / "fer-edge.rules.yml").read_text())
    assert len(rules) == len(SPOILT)
    for index, (name, (before, after)) in enumerate(SPOILT.items()):
        assert f"alert: {name}\n" in rules[index]
        assert before in rules[index]
        rules[index] = rules[index].replace(before, after)
    (tmp_path / "fer-edge.rules.yml").write_text(head + "".join(rules))
    (tmp_path / "wanted.rules.yml").write_text((MONITORING / "wanted.rules.yml").read_text())
    (tmp_path / "t.yml").write_text(UNIT_TESTS.read_text().replace("../../../device/fleet/monitoring/", ""))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "t.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert set(SPOILT) == set(re.findall(r"alertname: ?(\w+)", done.stdout + done.stderr))


def test_every_metric_that_is_named_is_on_a_real_page(watched: Watched) -> None:
    rules = [rule for group in watched.prometheus.api("rules")["groups"] for rule in group["rules"]]
    asked = " ".join([*(rule["query"] for rule in rules), *(expression for _, expression in panel_expressions())])
    named = set(METRIC.findall(asked)) - {"up"}
    page = watched.pages[watched.well]
    there = set(re.findall(r"^([a-z_]+)(?:\{.*\})? ", page, re.MULTILINE))
    assert named - there == set()
    assert set(RECORDED.findall(asked)) == {rule["name"] for rule in rules if rule["type"] == "recording"}
    # and what is kept is what is used: nothing of faces is stored
    stored = {name for name in watched.prometheus.api("label/__name__/values") if METRIC.fullmatch(name)} - {"up"}
    assert stored == named | {"fer_edge_frame_age_seconds_count", "fer_edge_frame_age_seconds_sum"}
    assert not [name for name in stored if "face" in name or "find" in name]
    assert "fer_edge_faces_total" in page


def test_every_panel_has_something_to_show(watched: Watched) -> None:
    server = watched.prometheus
    for title, expression in panel_expressions():
        found = server.value(expression)
        if title == "Alerts" and "count(" not in expression:
            continue  # a table of what is wrong: nothing is
        assert found, f"{title}: {expression}"
    (answering,) = server.value(filled(dict(panel_expressions())["Boards that answer"]))
    assert answering["value"][1] == "2"


def test_a_board_without_sensors_is_no_cool_board(watched: Watched) -> None:
    """What a board cannot tell is absent: never 0."""
    server = watched.prometheus
    heat = {s["metric"]["instance"]: float(s["value"][1]) for s in server.value("fer_edge_temperature_celsius")}
    assert heat[watched.well] == 55.95
    slowed = {s["metric"]["instance"]: s["value"][1] for s in server.value("fer_edge_throttled")}
    assert slowed[watched.well] == "0"
    for name, seen in (("fer_edge_temperature_celsius", heat), ("fer_edge_throttled", slowed)):
        assert (watched.plain in seen) == (f"\n{name} " in watched.pages[watched.plain])
    assert watched.plain not in slowed  # nothing here tells of throttling


def test_what_is_well_is_well_and_what_goes_silent_is_noticed(watched: Watched) -> None:
    server = watched.prometheus
    rules = [rule for group in server.api("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    on_time = 'alertname!~"FerEdgeOldFrames|FerEdgeSlow"'  # this machine may be busy
    assert [s["metric"] for s in server.value(f'ALERTS{{alertname=~"FerEdge.*", {on_time}}}')] == []
    watched.end_of_plain.close()
    helpers.until(lambda: server.value('ALERTS{alertname="FerEdgeSilent"}'), "the silence was noticed")
    (silent,) = server.value('ALERTS{alertname="FerEdgeSilent"}')
    assert (silent["metric"]["instance"], silent["metric"]["alertstate"]) == (watched.plain, "pending")


def test_without_the_token_a_board_tells_nothing(watched: Watched) -> None:
    port = int(watched.well.rpartition(":")[2])
    assert helpers.ask(port, "GET", "/metrics")[0] == 401
    assert helpers.ask(port, "GET", "/metrics", headers={"Authorization": "Bearer of the wrong one"})[0] == 401
    assert helpers.ask(port, "GET", "/snapshot.jpg", headers={"Authorization": f"Bearer {fleet.TOKEN}"})[0] == 404


def test_over_tls_there_is_the_page_of_metrics_and_nothing_else(watched: Watched) -> None:
    server = watched.prometheus
    helpers.until(lambda: server.value('up{job="fer-edge-tls"} == 1'), "it was scraped")
    (seen,) = server.value('fer_edge_board_info{job="fer-edge-tls"}')
    assert seen["metric"]["instance"] == watched.tls
    port = int(watched.tls.rpartition(":")[2])
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    for path, expected in (("/metrics", 401), ("/", 404), ("/api/status", 404)):  # who asks here has no token
        connection = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=60)
        connection.request("GET", path)
        assert connection.getresponse().status == expected
        connection.close()


def test_the_wanted_version_is_this_one() -> None:
    from fer_edge import __version__

    assert f'version: "{__version__}"' in (MONITORING / "wanted.rules.yml").read_text()


def test_grafanas_own_types_know_every_field_of_the_dashboard() -> None:
    """Read by Grafana's Foundation SDK and written again, nothing is lost or changed; no Grafana runs here."""
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard", reason="grafana-foundation-sdk not installed"
    )
    from grafana_foundation_sdk.cog import encoder, plugins

    plugins.register_default_plugins()
    document = dashboard()
    again = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(document)))
    assert list(lost(document, again)) == []
    assert list(lost(document | {"titel": 1}, again)) == [".titel"]
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    taken = [
        (p["gridPos"]["x"] + x, p["gridPos"]["y"] + y)
        for p in document["panels"]
        for x in range(p["gridPos"]["w"])
        for y in range(p["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))  # no panel lies on another
    assert max(x for x, _ in taken) == 23


def lost(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Paths of what is in ours and not the same in theirs, which may have more: their defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from lost(value, theirs[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield path
