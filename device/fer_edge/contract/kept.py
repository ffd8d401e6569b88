"""Decoded files kept between runs, by their digest: a slow board decodes a network once.

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
