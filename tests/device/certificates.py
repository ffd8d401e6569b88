"""Certificates that are right or wrong in one way, and a server that keeps whatever is sent to it in confidence."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import web_helpers as helpers

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# kind of certificate -> name in it, first and last day, who signs it
KINDS = {
    "right": ("localhost", "20200101000000Z", "20991231000000Z", True),
    "expired": ("localhost", "20200101000000Z", "20200102000000Z", True),
    "not yet": ("localhost", "20990101000000Z", "20991231000000Z", True),
    "another name": ("camera.example", "20200101000000Z", "20991231000000Z", True),
    "self-signed": ("localhost", "20200101000000Z", "20991231000000Z", False),
}
CONFIG = """
[ca]
default_ca = own
[own]
dir = {folder}
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""


def make(folder: Path, kind: str) -> tuple[Path, Path, Path]:
    """An authority's certificate, a server's that is wrong as ``kind`` says, and its key."""
    openssl = helpers.needs("openssl")

    def run(*arguments: object) -> None:
        subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True, cwd=folder)

    name, first, last, is_signed = KINDS[kind]
    (folder / "config").write_text(CONFIG.format(folder=folder))
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    run("req", "-x509", *EC, "-days", 9999, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=the test's authority",
        "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    run("req", *EC, "-keyout", "own.key", "-out", "own.csr", *names)
    signer = ("-cert", "ca.pem", "-keyfile", "ca.key") if is_signed else ("-selfsign", "-keyfile", "own.key")
    run("ca", "-batch", "-config", "config", "-in", "own.csr", "-out", "own.pem", "-notext", *signer,
        "-startdate", first, "-enddate", last)  # fmt: skip
    return folder / "ca.pem", folder / "own.pem", folder / "own.key"


class Trap:
    """Takes TLS connections under a certificate; ``told`` is what clients have sent once they trusted it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self.told, self.tries = self._server.getsockname()[1], b"", 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as trusted:
                    trusted.settimeout(5)
                    self.told += trusted.recv(65536)
                self.tries += 1

    def end(self) -> None:
        self._server.close()


@contextlib.contextmanager
def trap(certificate: Path, key: Path) -> Iterator[Trap]:
    server = Trap(certificate, key)
    try:
        yield server
    finally:
        server.end()
