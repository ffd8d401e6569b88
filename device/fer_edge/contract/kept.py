"""What is kept between runs, by its digest: decoded files, as a slow board decodes a network once; and marks.

The place: $FER_EDGE_CACHE, else systemd's $CACHE_DIRECTORY, else $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge.
A place that cannot be written is no error; then everything is decoded each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from fer_edge.contract import places
from fer_edge.contract.regular import read_regular

_OURS = re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 16  # of other bundles' networks; the oldest go first


def place() -> Path | None:
    """The folder; None where this user has none, and everything is decoded each time."""
    for variable in ("FER_EDGE_CACHE", "CACHE_DIRECTORY"):
        value = os.environ.get(variable, "").split(":")[0]  # systemd lists several
        if value:
            return Path(value)
    own = places.folder("XDG_CACHE_HOME", ".cache")
    return None if own is None else own / "fer-edge"


def kept(sha256: str, size_bytes: int, decode: Callable[[], bytes]) -> bytes:
    """The content with this digest: from the folder if it is there and whole, else decoded and put there.

    Args:
        sha256: of the decoded content.
        size_bytes: of the decoded content.
        decode: makes it; raises what it likes.
    """
    where = place()
    if where is None:
        return decode()
    folder = where / "decoded"
    file = folder / sha256
    with contextlib.suppress(OSError):
        if file.stat().st_size == size_bytes:
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                os.utime(file)
                return content
    content = decode()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(file, content)
        _drop_oldest(folder)
    return content


def is_marked(kind: str, key: str) -> bool:
    """Whether ``mark`` was called with these, in this run or an earlier one; moves it to the newest."""
    where = place()
    if where is None:
        return False
    try:
        os.utime(where / kind / key)
    except OSError:
        return (where / kind / key).is_file()  # a folder of somebody else's
    return True


def mark(kind: str, key: str, text: str) -> None:
    """Remembers a key of 64 hexadecimal digits, with a line; where nothing can be written, nothing is.

    Args:
        kind: names the folder.
        key: a digest.
        text: what ``marks`` gives back.
    """
    where = place()
    if where is None:
        return
    with contextlib.suppress(OSError, UnicodeEncodeError):
        (where / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(where / kind / key, f"{text}\n".encode())
        _drop_oldest(where / kind)


def marks(kind: str) -> list[tuple[str, str]]:
    """The keys of a kind with their lines, the newest first."""
    where = place()
    found = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if where is not None:
            paths = [path for path in (where / kind).iterdir() if _OURS.fullmatch(path.name)]
            for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
                found.append((path.name, read_regular(path, 8192).decode().rstrip("\n")))
    return found


def _write(file: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _drop_oldest(folder: Path) -> None:
    ours = [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and not path.is_symlink()]
    files = sorted(ours, key=lambda path: path.stat().st_mtime)
    for path in files[:-_MOST_FILES]:
        path.unlink()
