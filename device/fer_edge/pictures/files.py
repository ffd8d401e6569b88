"""Photos in folders: which files are taken, in which order, and what is left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fer_edge.contract.names import printable
from fer_edge.errors import ImageError
from fer_edge.pictures.formats import SUFFIXES

_DIGITS = re.compile("([0-9]+)")
_PICTURES = (  # endings of pictures that are not read: a person would count them among the photos
    *(".gif", ".svg", ".jp2", ".j2k", ".jxl", ".psd", ".xcf", ".exr", ".hdr", ".pam", ".ico", ".jpg_large"),
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw"),
)


@dataclass(frozen=True)
class PhotoFolder:
    """A folder's photos.

    Attributes:
        paths: in natural order: img2 before img10.
        skipped: how many other files there are, by ending; hidden files are not counted.
    """

    paths: tuple[Path, ...]
    skipped: dict[str, int]

    @property
    def n_pictures_skipped(self) -> int:
        """Those among them that are pictures all the same, in formats that are not read."""
        return sum(n for ending, n in self.skipped.items() if ending in _PICTURES)

    def skipped_words(self, before: str = "") -> str:
        """One line's end that says what is not read, behind ``before``; empty where all is."""
        if not self.skipped:
            return ""
        parts = ", ".join(f"{n} {ending or 'without an ending'}" for ending, n in self.skipped.items())
        n = sum(self.skipped.values())
        return f"{before}{n} {'file is' if n == 1 else 'files are'} not read ({parts}); read are {', '.join(SUFFIXES)}"


def list_photos(folder: Path) -> PhotoFolder:
    """The photos in a folder, not in those below it.

    Raises:
        ImageError: the folder cannot be listed.
    """
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise ImageError(f"folder {printable(folder)}: {error.strerror}; expected one that can be read") from error
    taken = [path for path in entries if path.suffix.lower() in SUFFIXES]
    others = Counter(printable(path.suffix.lower()) for path in entries if path.suffix.lower() not in SUFFIXES)
    skipped = dict(sorted(others.items(), key=lambda item: (not item[0], item[0])))
    return PhotoFolder(tuple(sorted(taken, key=lambda path: natural_key(path.name))), skipped)


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sorts as people do: numbers by value, letters whatever their case; equal ones by their exact name."""
    parts = [part for part in _DIGITS.split(name.casefold()) if part]
    return [(0, int(part)) if part[0] in "0123456789" else (1, part) for part in parts], name
