"""The web page's token: on a terminal once, else in a file of this user's alone, never in a log."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import web_helpers as helpers
from web_helpers import ask

from fer_edge.contract.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.sinks.web.controls import PhotoDesk
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.sink import WebSink
from fer_edge.sinks.web.token_place import find_token

OPEN_TO_ALL = WebSettings(enabled=True, address="0.0.0.0", port=0)


def kept(environ: Mapping[str, str], on_terminal: bool = False) -> tuple[str, Path]:
    token, path = find_token(OPEN_TO_ALL, environ, on_terminal)
    assert token is not None
    assert path is not None
    return token.text, path


def test_a_service_keeps_it_in_its_state_folder(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path), "HOME": str(tmp_path / "home")}
    text, path = kept(environ)
    assert path == tmp_path / "web-token"
    assert path.read_text() == text + "\n"
    assert len(text) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept(environ) == (text, path)  # a restart locks nobody out
    assert kept(environ, on_terminal=True) == (text, path)
    assert os.listdir(tmp_path) == ["web-token"]


@pytest.mark.parametrize("umask", [0, 0o077])
def test_no_umask_opens_the_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        _, path = kept({"HOME": str(tmp_path)})
    finally:
        os.umask(before)
    assert path == tmp_path / ".local/state/fer-edge/web-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_that_others_could_read_or_that_is_damaged_is_replaced(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path)}
    text, path = kept(environ)
    path.chmod(0o640)
    again, _ = kept(environ)
    assert again != text
    for damage in (b"", b"short\n", b"\xff\xfe" * 20, b"\n" * 40):
        path.write_bytes(damage)
        new, _ = kept(environ)
        assert len(new) >= 32
        assert path.read_text() == new + "\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("a-token-of-somebody-else\n")
    path.unlink()
    path.symlink_to(elsewhere)
    assert kept(environ)[0] != "a-token-of-somebody-else"
    assert elsewhere.read_text() == "a-token-of-somebody-else\n"
    assert not path.is_symlink()


def test_a_place_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for environ, said in (
        ({"STATE_DIRECTORY": str(tmp_path / "file")}, "expected a usable place"),
        ({"HOME": "/nonexistent"}, "no terminal"),
    ):
        with pytest.raises(UsageError, match=said) as error:
            find_token(OPEN_TO_ALL, environ, False)
        assert "--web-token-file" in str(error.value)
        assert "\n" not in str(error.value)


def test_on_a_terminal_it_is_new_and_in_no_file(tmp_path: Path) -> None:
    found = [find_token(OPEN_TO_ALL, {"HOME": str(tmp_path)}, True) for _ in range(2)]
    assert [path for _, path in found] == [None, None]
    assert len({token.text for token, _ in found if token}) == 2
    assert os.listdir(tmp_path) == []
    assert find_token(WebSettings(), {"HOME": str(tmp_path)}, True) == (None, None)


def test_what_may_be_kept_never_has_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where the log goes to the same terminal: it may be copied from there."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logged: list[str] = []
    web = WebSink(OPEN_TO_ALL, PhotoDesk(lambda: pytest.fail("no photo was sent")))
    try:
        web.invite(logged.append)
        assert web.token is not None
        assert logged == []
        assert capsys.readouterr().err.endswith(f":{web.port}/?token={web.token.text}\n")
    finally:
        web.close()


WEB = (sys.executable, "-m", "fer_edge.cli", "web", "--address", "0.0.0.0", "--port", "0", "--bundle")


def test_a_log_names_the_file_and_not_the_token(bundle: Bundle, tmp_path: Path) -> None:
    program = helpers.Program(*WEB, bundle.path, env=dict(os.environ, STATE_DIRECTORY=str(tmp_path)))
    try:
        line = program.line("http://")
        token = (tmp_path / "web-token").read_text().strip()
        assert f"(token: in {tmp_path / 'web-token'})" in line
        port = int(re.findall(r":(\d+)/", line)[0])
        assert ask(port, "GET", "/api/status")[0] == 401
        assert ask(port, "GET", "/api/status", None, {"Authorization": f"Bearer {token}"})[0] == 200
    finally:
        program.end()
    assert token not in "\n".join(program.lines)


def test_a_terminal_is_told_once(bundle: Bundle, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"}
    line = [*WEB, str(bundle.path)]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=theirs, env=environ | {"HOME": str(tmp_path), "XDG_STATE_HOME": ""}
    )
    os.close(theirs)
    shown = b""
    try:
        while b"\n" not in shown:
            shown += os.read(ours, 4096)
        found = re.search(rb"http://\S+:(\d+)/\?token=(\S+)", shown)
        assert found, shown
        port, token = int(found[1]), found[2].decode()
        assert ask(port, "GET", f"/?token={token}")[0] == 303
    finally:
        process.terminate()
        process.communicate(timeout=30)
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal's other end is closed
            pass
        os.close(ours)
    assert shown.count(token.encode()) == 1
    assert not list(tmp_path.rglob("web-token"))
