"""Boards that are processes with a machine id, a name and sensors of their own; a real Prometheus that sees them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certificates
import pytest
import web_helpers as helpers
from recorded_trees import unpack

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "device" / "fleet" / "monitoring"
TOKEN = "a token of the whole fleet"
NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def in_own_namespace(folder: Path, name: str, tree: str = "") -> list[str]:
    """The beginning of a command that runs on a board of its own, in namespaces of mounts and of the host's name.

    Args:
        folder: an empty one.
        name: of the board; its machine id is made of it.
        tree: whose heat and alarms it has (tests/device/trees); "" for this machine's.
    """
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--uts", "true"], check=False).returncode:
        pytest.skip("namespaces need root and unshare(1)")
    (folder / "machine-id").write_text(f"{hash_of(name)}\n")
    steps = [f"mount --bind {folder}/machine-id /etc/machine-id", f"hostname {name}"]
    if tree:
        if not Path("/sys/class/thermal").is_dir():
            pytest.skip("no /sys/class/thermal to put a recorded one over")
        root = unpack(tree, folder / "tree")
        (folder / "bin").mkdir()
        told = (root / ".commands" / "vcgencmd get_throttled").read_text()
        command = folder / "bin" / "vcgencmd"
        command.write_text(f"#!/bin/sh\ncat <<'END'\n{told}END\n")
        command.chmod(0o755)
        steps += [f"mount --bind {root}/sys/class/thermal /sys/class/thermal", f'export PATH="{folder}/bin:$PATH"']
    return ["unshare", "--mount", "--uts", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "board"]


def hash_of(name: str) -> str:
    """32 hexadecimal digits, as of a machine id."""
    return name.encode().hex().ljust(32, "0")[:32]


@contextmanager
def board(*beginning: str, folder: Path, source: str = "synthetic://?width=160&height=120") -> Iterator[int]:
    """A real ``fer-edge run`` with metrics alone, which asks for the token; gives its port when it can be asked."""
    (folder / "web-token").write_text(TOKEN + "\n")
    program = helpers.Program(
        *(*beginning, sys.executable, "-m", "fer_edge.cli", "run", "--source", source, "--rate", "5"),
        *("--metrics", "--web-port", "0", "--web-token-file", folder / "web-token"),
    )
    try:
        yield int(program.line("http://").partition("http://")[2].split("/")[0].rpartition(":")[2])
    finally:
        program.end()


def configured(folder: Path, every_s: int, targets: dict[int, str]) -> Path:
    """The fleet's own configuration, copied, with other intervals and these boards: port to site."""
    shutil.copytree(MONITORING, folder, dirs_exist_ok=True)
    (folder / "token").write_text(TOKEN)
    (folder / "boards" / "example.yml").write_text(
        "".join(f'- {{targets: ["127.0.0.1:{port}"], labels: {{site: {site}}}}}\n' for port, site in targets.items())
    )
    config = folder / "prometheus.yml"
    text = re.sub(r"(scrape_interval|evaluation_interval): 15s", rf"\1: {every_s}s", config.read_text())
    config.write_text(text.replace("scrape_timeout: 10s", f"scrape_timeout: {min(every_s, 10)}s"))
    return config


@contextmanager
def tls_in_front(board_port: int, folder: Path, config: Path) -> Iterator[str]:
    """The fleet's own nginx before a board, and a second job ``fer-edge-tls`` that reaches it; gives its address."""
    program, port = helpers.needs("nginx"), helpers.free_port()
    authority, certificate, key = certificates.make(folder, "right")
    text = (MONITORING / "board-tls.nginx.conf").read_text()
    for ours, here in {
        "listen 9443": f"listen 127.0.0.1:{port}",
        "/etc/fer-edge/tls.pem": str(certificate),
        "/etc/fer-edge/tls.key": str(key),
        "127.0.0.1:8080": f"127.0.0.1:{board_port}",
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    user = "user root;" if os.geteuid() == 0 else ""  # another could not write to this folder
    places = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in NGINX_TEMPORARY)
    whole = f"daemon off; {user} pid {folder}/pid; events {{}} http {{ access_log off; {places}\n{text}}}\n"
    (folder / "nginx.conf").write_text(whole)
    job = config.read_text().partition("scrape_configs:\n")[2].replace("job_name: fer-edge", "job_name: fer-edge-tls")
    job = job.replace("scheme: http", f"scheme: https\n    tls_config: {{ca_file: {authority}}}")
    job = job.replace("boards/*.yml", "tls.yml")
    config.write_text(config.read_text() + job)
    (config.parent / "tls.yml").write_text(f'- targets: ["localhost:{port}"]\n')
    line = [program, "-e", str(folder / "nginx.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    try:
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


class Prometheus:
    """A server of our own, and what its API answers."""

    def __init__(self, config: Path, folder: Path, *options: str) -> None:
        self.path, self.port, self._folder = helpers.needs("prometheus"), helpers.free_port(), folder
        self._line = [
            self.path,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        self._log = (self._folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(self._line, stdout=self._log, stderr=self._log)
        helpers.until(self._ready, f"Prometheus is ready; {self._folder}/prometheus.log")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)
        self._log.close()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            return helpers.ask(self.port, "GET", "/-/ready")[0] == 200
        except OSError:
            return False

    def api(self, path: str, method: str = "GET", **query: str) -> Any:
        """The data of an answer; an error of the expression fails with its text."""
        status, _, content = helpers.ask(self.port, method, f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        answer = json.loads(content)
        assert status == 200, f"{query}: {answer}"
        return answer["data"]

    def value(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now: each with ``metric`` and ``value``."""
        found: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return found
