"""What is kept between runs, by its digest: decoded files, as a slow board decodes a network once; and marks.

The place: $FER_EDGE_CACHE, else systemd's $CACHE_DIRECTORY, else $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge.
A place that cannot be written is no error, nor one that is somebody else's or that others can write to (``sudo`` with
a user's HOME): then everything is decoded each time, and nothing is read, written or removed there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from fer_edge.contract import places
from fer_edge.contract.bounds import KEPT_FILES as _MOST_FILES
from fer_edge.contract.digest import sha256 as _digest
from fer_edge.contract.regular import read_regular

_OURS = re.compile(r"[0-9a-f]{64}")
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


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
    folder = _folder("decoded")
    with contextlib.suppress(OSError):
        if folder is not None and (folder / sha256).stat().st_size == size_bytes:
            content = read_regular(folder / sha256, size_bytes)
            if _digest(content) == sha256:
                with contextlib.suppress(OSError):  # a place that cannot be written: it is read all the same
                    os.utime(folder / sha256)
                return content
    content = decode()
    _put("decoded", sha256, content)
    return content


def is_marked(kind: str, key: str) -> bool:
    """Whether ``mark`` was called with these, in this run or an earlier one; moves it to the newest."""
    folder = _folder(kind)
    if folder is None:
        return False
    try:
        os.utime(folder / key)
    except OSError:
        return (folder / key).is_file()  # of root's
    return True


def mark(kind: str, key: str, text: str) -> None:
    """Remembers a key of 64 hexadecimal digits, with a line; where nothing can be written, nothing is.

    Args:
        kind: names the folder.
        key: a digest.
        text: what ``marks`` gives back.
    """
    with contextlib.suppress(UnicodeEncodeError):
        _put(kind, key, f"{text}\n".encode())


def marks(kind: str) -> list[tuple[str, str]]:
    """The keys of a kind with their lines, the newest first."""
    folder, found = _folder(kind), []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if folder is not None:
            paths = [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]
            for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
                found.append((path.name, read_regular(path, 8192).decode().rstrip("\n")))
    return found


def folder_of(kind: str, key: str) -> Path | None:
    """A folder of our own for what a library keeps of one thing; None where nothing can be kept safely.

    Args:
        kind: names the folder above it, of which the newest are kept.
        key: a digest, 64 hexadecimal digits.
    """
    where = place()
    with contextlib.suppress(OSError):
        if where is None:
            return None
        _make(where, kind)
        above = _folder(kind)
        if above is None:
            return None
        own = above / key
        own.mkdir(mode=0o700, exist_ok=True)
        about = own.lstat()
        if not stat.S_ISDIR(about.st_mode) or not _is_safe(about) or about.st_mode & _BY_OTHERS:
            return None
        os.utime(own)
        _drop_oldest(above, folders=True)
        return own
    return None


def _folder(kind: str) -> Path | None:
    """The folder of a kind, if nobody but this user and root can put files there, or another folder in its place."""
    where = place()
    with contextlib.suppress(OSError):
        if where is not None and _is_safe(where.stat()):
            about = (where / kind).lstat()
            if stat.S_ISDIR(about.st_mode) and _is_safe(about) and not about.st_mode & _BY_OTHERS:
                return where / kind
    return None


def _is_safe(about: os.stat_result) -> bool:
    """Whether what we put into a folder stays: it is ours or root's, and others cannot write there, or as in /tmp."""
    return about.st_uid in (0, os.geteuid()) and bool(about.st_mode & stat.S_ISVTX or not about.st_mode & _BY_OTHERS)


def _put(kind: str, key: str, content: bytes) -> None:
    """Writes a file of a kind; where it cannot, or others could as well, it does not."""
    where = place()
    with contextlib.suppress(OSError):
        if where is None:
            return
        _make(where, kind)
        folder = _folder(kind)
        if folder is not None:
            _write(folder / key, content)
            _drop_oldest(folder)


def _make(where: Path, kind: str) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    where.mkdir(mode=0o700, exist_ok=True)
    if _is_safe(where.stat()):
        (where / kind).mkdir(mode=0o700, exist_ok=True)


def _write(file: Path, content: bytes) -> None:
    import tempfile  # most runs write nothing

    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _drop_oldest(folder: Path, folders: bool = False) -> None:
    ours = [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and not path.is_symlink()]
    same = sorted((path for path in ours if path.is_dir() == folders), key=lambda path: path.stat().st_mtime)
    for path in same[:-_MOST_FILES]:
        if folders:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
