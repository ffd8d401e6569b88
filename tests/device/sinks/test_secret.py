"""Files with secrets as people's editors, shells and systems make them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.contract import bounds
from fer_edge.errors import UsageError
from fer_edge.sinks.secret import first_line
from fer_edge.sinks.web.settings import WebSettings
from fer_edge.sinks.web.token_place import find_token


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"horse\n", "horse"),
        (b"horse", "horse"),
        (b"horse\r\nsecond line\r\n", "horse"),  # Windows' line ends
        (b"\xef\xbb\xbfhorse\r\n", "horse"),  # Windows' Notepad marks UTF-8
        (" two  words ü\u2028and\x85more\x0c\n".encode(), " two  words ü\u2028and\x85more\x0c"),  # one line
        (b"", None),
        (b"\n", None),
        (b"\xef\xbb\xbf\n", None),
        ("horse\n".encode("utf-16"), None),
        (b"h\xf6rse\n", None),
        (b"horse\0\n", None),
        (b"h" * (bounds.SECRET_BYTES + 1), None),
    ],
)
def test_the_secret_is_the_first_line(content: bytes, secret: str | None, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    if secret is not None:
        assert first_line(str(path)) == secret
        return
    with pytest.raises(UsageError, match=rf"^secret {path}: .*; expected ") as refused:
        first_line(str(path))
    assert "\n" not in str(refused.value)
    assert "rse" not in str(refused.value).replace(str(path), "")  # never what is in it


def test_an_empty_line_is_a_secret_where_one_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for content, found in ((b"\n", ""), (b"\r\n", ""), (b"\xef\xbb\xbf\n", ""), (b"horse\n", "horse")):
        path.write_bytes(content)
        assert first_line(str(path), may_be_empty=True) == found
    for content in (b"", b"\xef\xbb\xbf"):  # nobody has written it yet
        path.write_bytes(content)
        with pytest.raises(UsageError, match="empty"):
            first_line(str(path), may_be_empty=True)


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "/dev/tty", "absent", "link to a fifo"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    if "fifo" in kind:
        os.mkfifo(tmp_path / "pipe" if "link" in kind else path)
    if "link" in kind:
        path.symlink_to(tmp_path / "pipe")
    if kind == "folder":
        path.mkdir()
    if kind.startswith("/"):
        path = Path(kind)
    code = (
        "import sys\nfrom fer_edge.sinks.secret import first_line\nfrom fer_edge.errors import UsageError\n"
        "try:\n    first_line(sys.argv[1])\nexcept UsageError as error:\n    print(error)"
    )
    # a process of its own, because a mistake here waits or grows for ever
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith(f"secret {path}: ")
    assert "; expected " in done.stdout


def test_web_with_a_fifo_as_token_file(
    edge: Callable[..., subprocess.CompletedProcess[str]], one_line: Callable[..., str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    bundle = os.environ.get("FER_TEST_BUNDLE") or pytest.skip("no bundle: set FER_TEST_BUNDLE (make test does)")
    one_line(edge("web", "--bundle", bundle, "--token-file", tmp_path / "pipe", "--port", "0"), "no regular file")


def test_a_kept_token_is_never_waited_for(tmp_path: Path) -> None:
    """A FIFO, folder or other user's file in the place of the kept token gives way to a new token, or is refused."""
    code = (
        "import sys\nfrom fer_edge.sinks.web.settings import WebSettings\n"
        "from fer_edge.sinks.web.token_place import find_token\n"
        "print(find_token(WebSettings(address='0.0.0.0'), {'STATE_DIRECTORY': sys.argv[1]}, False)[0].text)"
    )
    os.mkfifo(tmp_path / "web-token")
    line = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True)
    token, path = find_token(WebSettings(address="0.0.0.0"), {"STATE_DIRECTORY": str(tmp_path)}, False)
    assert token is not None
    assert path is not None
    assert done.stdout.strip() == token.text == path.read_text().strip()
