"""The Home Assistant add-on and the container: their files fit one another, the program, and the documented keys.

Home Assistant's Supervisor checks config.yaml by a schema in its own source, which no package brings. The keys and
values here are those of its documentation (developers.home-assistant.io, add-on configuration), as far as used.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import fer_edge
from fer_edge.cli import make_parser
from fer_edge.sinks.web.settings import WebSettings

DEVICE = Path(__file__).parents[2] / "device"
ADDON = DEVICE / "addon"


def one_of(*values: object) -> Callable[[Any], bool]:
    return lambda found: found in values


def is_a(kind: type) -> Callable[[Any], bool]:
    return lambda found: type(found) is kind


def matches(pattern: str) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, str) and re.fullmatch(pattern, found) is not None


def all_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, list) and all(map(check, found))


REQUIRED = {
    "name": is_a(str),
    "version": is_a(str),
    "slug": matches(r"[-_.A-Za-z0-9]+"),
    "description": is_a(str),
    "arch": all_of(one_of("aarch64", "amd64")),
}
OPTIONAL = {
    "startup": one_of("initialize", "system", "services", "application", "once"),
    "boot": one_of("auto", "manual", "manual_only"),
    "stage": one_of("stable", "experimental", "deprecated"),
    "init": is_a(bool),
    "video": is_a(bool),
    "ingress": is_a(bool),
    "ingress_port": lambda found: type(found) is int and 0 <= found <= 65535,
    "ingress_stream": is_a(bool),
    "panel_icon": matches(r"mdi:[-a-z0-9]+"),
    "panel_title": is_a(str),
    "panel_admin": is_a(bool),
    "services": all_of(matches(r"(mqtt|mysql):(provide|want|need)")),
    "options": is_a(dict),
    "schema": is_a(dict),
}
ELEMENT = re.compile(r"(str|int|float)(\((-?[\d.]*),(-?[\d.]*)\))?\??|(bool|email|url|password|port)\??|list\(.+\)\??")


def read(name: str) -> Any:
    return yaml.safe_load((ADDON / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("addon_run", ADDON / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_has_the_documented_keys() -> None:
    config = read("config.yaml")
    assert set(REQUIRED) <= set(config) <= set(REQUIRED) | set(OPTIONAL)
    wrong = [name for name, value in config.items() if not {**REQUIRED, **OPTIONAL}[name](value)]
    assert wrong == []
    assert config["version"] == fer_edge.__version__
    assert set(config["options"]) == set(config["schema"])
    assert [value for value in config["schema"].values() if not ELEMENT.fullmatch(value)] == []
    kinds = {"str": str, "bool": bool}
    assert all(type(value) is kinds[config["schema"][name]] for name, value in config["options"].items())
    assert set(read("translations/en.yaml")["configuration"]) == set(config["schema"])
    assert f"listen {config['ingress_port']};" in (ADDON / "nginx.conf").read_text()
    image = matches(r"([a-zA-Z\-.:\d]+/)*[-\w]+/[-\w]+(:[-.\w]+)?")
    assert set(read("build.yaml")["build_from"]) == set(config["arch"])
    assert all(map(image, read("build.yaml")["build_from"].values()))


BROKER = {"host": "core-mosquitto", "port": 1883, "username": "addons", "password": "s", "ssl": True}


@pytest.mark.parametrize("broker", [None, BROKER, {"host": "h", "port": 1}])
@pytest.mark.parametrize("changed", [{}, {"source": "v4l2:///dev/video0", "blur": True, "camera_switch": True}])
def test_its_command_line_is_one_of_the_program(
    run: ModuleType, broker: dict[str, Any] | None, changed: dict[str, Any]
) -> None:
    line = run.command({**read("config.yaml")["options"], **changed}, broker)
    assert line[0] == "fer-edge"
    arguments = vars(make_parser("run").parse_args(line[1:]))
    assert arguments["config_source_wait"] is True
    WebSettings(enabled=True, frame_ancestors=arguments["config_web_frame_ancestors"])
    assert arguments.get("config_source_uri", "") == changed.get("source", "")
    assert arguments.get("config_mqtt_host") == (broker["host"] if broker else None)
    assert "config_mqtt_camera_switch" in arguments or not (broker and changed)
    assert BROKER["password"] not in line  # every user of a machine can read a command line


@pytest.mark.parametrize("path", ["container/Dockerfile", "addon/Dockerfile"])
def test_images_run_as_a_user_and_say_how_they_are(path: str, run: ModuleType) -> None:
    text = (DEVICE / path).read_text()
    assert "useradd --system --uid 10001" in text
    assert "HEALTHCHECK" in text
    assert "--only-binary :all:" in text
    if path.startswith("container"):
        assert "\nUSER 10001\n" in text
        start = re.findall(r'^CMD \["run", (.*)\]$', text, re.MULTILINE)
        make_parser("run").parse_args(["run", *re.findall(r'"([^"]+)"', start[0])])
    else:
        assert run.USER in text  # run.py becomes it when nginx has started
