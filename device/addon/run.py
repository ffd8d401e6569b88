#!/usr/bin/env python3
"""Starts fer-edge as the add-on's options say, and nginx for Home Assistant's ingress before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPTIONS = Path("/data/options.json")
STATE = Path("/data/fer-edge")
PASSWORD = STATE / "mqtt-password"
USER = "fer-edge"


def command(options: Mapping[str, Any], broker: Mapping[str, Any] | None) -> list[str]:
    """The command line of fer-edge.

    Args:
        options: as in config.yaml.
        broker: host, port, username and ssl, as Home Assistant tells them; None for none.
    """
    line = ["fer-edge", "run", "--wait", "--web", "--metrics", "--web-frame-ancestors", "self"]
    line += ["--source", options["source"]] if options.get("source") else ["--camera"]
    if options.get("blur"):
        line.append("--blur")
    if broker is not None:
        line += ["--mqtt-host", str(broker["host"]), "--mqtt-port", str(broker["port"])]
        if broker.get("username"):
            line += ["--mqtt-username", str(broker["username"]), "--mqtt-password-file", str(PASSWORD)]
        if broker.get("ssl"):
            line.append("--mqtt-tls")
        if options.get("camera_switch"):
            line.append("--mqtt-camera-switch")
    return line


def find_broker(token: str) -> dict[str, Any] | None:
    """The broker that Home Assistant's Supervisor knows; None where it knows none."""
    request = urllib.request.Request("http://supervisor/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
    except (OSError, ValueError, KeyError) as error:
        print(f"fer-edge add-on: no MQTT broker of Home Assistant's ({error}); going on without", file=sys.stderr)
        return None
    return found


def main() -> None:
    """Becomes fer-edge, as a user of its own."""
    options = json.loads(OPTIONS.read_text())
    broker = find_broker(os.environ.get("SUPERVISOR_TOKEN", "")) if options.get("mqtt") else None
    STATE.mkdir(mode=0o700, exist_ok=True)
    if broker is not None and broker.get("username"):
        with open(os.open(PASSWORD, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{broker.get('password', '')}\n")
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(STATE)], check=True)
    subprocess.run(["nginx", "-c", "/etc/nginx/fer-edge.conf"], check=True)
    groups = ["--init-groups", f"--reuid={USER}", f"--regid={USER}"]
    os.environ.pop("SUPERVISOR_TOKEN", None)
    os.environ |= {"STATE_DIRECTORY": str(STATE), "HOME": str(STATE), "PATH": f"/opt/fer-edge/bin:{os.environ['PATH']}"}
    line = command(options, broker)
    os.execvp("setpriv", ["setpriv", *groups, *line])


if __name__ == "__main__":
    main()
