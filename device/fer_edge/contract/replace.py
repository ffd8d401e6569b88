"""A folder made whole or not at all, in place of an older one that we made; what we did not make is never removed.

Beside the folder stands, while it is being made, one of our own: ``.fer-edge-*.tmp`` with a locked marker, the new
folder (``new``) and the older one (``old``). A killed run leaves it; the next one puts the older folder back where
nothing took its place, and clears the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from fer_edge.contract.errors import BundleError

_PREFIX, _SUFFIX = ".fer-edge-", ".tmp"
_MARKER, _NEW, _OLD = "unfinished", "new", "old"
_SHOWN = 3  # names in a message

Listing = Callable[[Path], Collection[str]]


def check_replaceable(path: Path, made: Listing) -> None:
    """Refuses a folder that holds anything we did not make, before any work is done.

    Args:
        path: the folder that is to be made; absent and empty ones are welcome.
        made: gives the files (relative, with ``/``) that we made in an older folder of ours.

    Raises:
        BundleError: ``path`` is no folder, or holds something else; or what ``made`` raises on a stranger's folder.
    """
    path = _behind_link(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise BundleError(f"output {path}: is a file; expected a new folder, an empty one, or an older one of ours")
    if not any(path.iterdir()):
        return
    known = set(made(path))
    strangers = sorted(name for name in _names_in(path) if name not in known)
    if strangers:
        shown = ", ".join(strangers[:_SHOWN]) + (f" and {len(strangers) - _SHOWN} more" if strangers[_SHOWN:] else "")
        raise BundleError(
            f"output {path}: holds what was not made here ({shown}); expected a new folder, an empty one, or an older "
            "one of ours and nothing else: move those files away, or name another folder"
        )


def replace_folder(path: Path, fill: Callable[[Path], None], made: Listing) -> None:
    """Makes ``path`` from what ``fill`` writes; an older folder of ours is replaced when the new one is complete.

    A link is followed: the folder behind it is replaced, and the link stays.

    Args:
        path: the folder to make.
        fill: writes into the empty folder it is given; an exception discards that.
        made: see ``check_replaceable``.

    Raises:
        BundleError: see ``check_replaceable``.
        OSError: the disk is full or not writable; nothing is left behind.
    """
    check_replaceable(path, made)
    path = _behind_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_killed(path.parent, made)
    workplace = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=path.parent))
    try:
        with (workplace / _MARKER).open("w") as marker:
            fcntl.flock(marker, fcntl.LOCK_EX)
            marker.write(path.name)
            marker.flush()
            new, old = workplace / _NEW, workplace / _OLD
            new.mkdir()
            new.chmod(0o755)
            fill(new)
            if path.exists():
                os.replace(path, old)
            try:
                os.replace(new, path)
            except BaseException:
                if old.exists():
                    os.replace(old, path)
                raise
            _remove_made(old, made)
    finally:
        shutil.rmtree(workplace / _NEW, ignore_errors=True)
        _remove_workplace(workplace)


def _behind_link(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def _names_in(folder: Path) -> Iterator[str]:
    """Everything below that is not a plain folder, and folders that are empty (their name ends in ``/``)."""
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*files, *links):
            yield (inside / name).as_posix()
        if not folders and not files and place != str(folder):
            yield f"{inside.as_posix()}/"


def _remove_made(folder: Path, made: Listing) -> None:
    """Removes what we made, and the folders that this empties; anything else stays where it is."""
    if not folder.exists():
        return
    known = set(made(folder)) if any(folder.iterdir()) else set()
    for name in list(_names_in(folder)):
        if name in known:
            (folder / name).unlink()
    for place, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):  # something is left in it
            os.rmdir(place)


def _remove_workplace(workplace: Path) -> None:
    """Removes the marker and the folder, unless something of an older folder is left in it."""
    with contextlib.suppress(OSError):
        if not (workplace / _OLD).exists():
            (workplace / _MARKER).unlink(missing_ok=True)
            workplace.rmdir()


def _clear_killed(parent: Path, made: Listing) -> None:
    """Clears what killed runs left: the marker's lock says that nobody works there."""
    for workplace in parent.iterdir():
        if not (workplace.name.startswith(_PREFIX) and workplace.name.endswith(_SUFFIX)):
            continue
        with contextlib.suppress(OSError):
            _clear_one(workplace, made)


def _clear_one(workplace: Path, made: Listing) -> None:
    marker = workplace / _MARKER
    if not stat.S_ISREG(marker.lstat().st_mode):
        return
    with marker.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        name = file.read()
        old, target = workplace / _OLD, workplace.parent / name
        if old.exists() and name and Path(name).name == name and not target.exists():
            os.replace(old, target)  # killed between taking the older one away and putting the new one there
        shutil.rmtree(workplace / _NEW, ignore_errors=True)
        with contextlib.suppress(BundleError):
            _remove_made(old, made)
        _remove_workplace(workplace)
