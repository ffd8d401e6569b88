"""Photos with labels of the user's own: a folder a label, or a table of pictures. Persons are kept apart where known.

``DATA/calm/*.jpg``, the same below ``train`` and ``test``, or a CSV with the columns ``image`` and ``label``, and if
they are known ``person`` and ``split``.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.labels import EMOTIONS8
from fer_host.data.faces import ALL, FaceRows, Rows
from fer_host.data.label_folders import SPLITS, framing_of
from fer_host.data.labels import LABEL_SYNONYMS, meant
from fer_host.data.unread import FaceFiles, files_of
from fer_host.device_pipeline import photo_files
from fer_host.errors import DataError
from fer_host.files.artifacts import digest_json, sha256_file

_LIKELY_PERSON = re.compile(r"([A-Za-z]{0,8}\d{1,6})[_-].*")  # 001_08.jpg, S014-a.png; not IMG_2034.jpg
_FEWEST_PERSONS = 4
_COLUMNS = {
    "image": ("image", "file", "path", "filename", "photo"),
    "label": ("label", "class", "emotion"),
    "person": ("person", "subject"),
    "split": ("split", "usage"),
}


def label_folders_of(folder: Path) -> tuple[str, ...]:
    """Names of the folders with photos, here or one level down below folders named as a split; sorted, each once."""
    if not folder.is_dir():
        return ()
    splits = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() in SPLITS]
    places = splits or [folder]
    names = {path.name for place in places for path in place.iterdir() if path.is_dir() and photo_files(path)}
    return tuple(sorted(name for name in names if not name.startswith(".")))


def is_own(path: Path, names: Sequence[str]) -> bool:
    """Whether ``path`` is a table with labels, or a folder that has one of these labels."""
    if path.is_file():
        return path.suffix.lower() == ".csv" and _columns(path).keys() >= {"image", "label"}
    return bool({meant(found) for found in label_folders_of(path)} & {meant(name) for name in names})


def load_own(path: Path, names: Sequence[str] = (), person: str = "") -> FaceFiles:
    """Lists the photos of a set with labels of the user's own.

    Args:
        path: a folder, or a CSV whose pictures count from its own folder.
        names: the labels in output order; empty takes those found, sorted.
        person: pattern of a file's name whose first group names the person; empty guesses (``001_08.jpg``).

    Raises:
        DataError: no photos, fewer than two labels, a label that is none of ``names``, a picture that is not there.
    """
    listed = _from_csv(path) if path.is_file() else _from_folders(path)
    if not listed:
        raise DataError(f"data {path}: no photos; expected a folder of photos for each label, or a CSV of image,label")
    files, labels, usages, persons = zip(*listed, strict=True)
    names = tuple(names) or tuple(sorted(set(labels)))
    known = {meant(name): name for name in names}
    if twice := [name for name in names if known[meant(name)] != name]:
        same = ", ".join(f"{name} and {known[meant(name)]}" for name in twice)
        raise DataError(f"data {path}: {same} mean the same; expected one name for each label: rename one of them")
    found = [known.get(meant(label)) for label in labels]
    unknown = Counter(label for label, name in zip(labels, found, strict=True) if name is None)
    if unknown:
        shown = ", ".join(f"{name!r} ({n} photos)" for name, n in unknown.most_common(3))
        raise DataError(
            f"data {path}: found the label {shown}; expected only {', '.join(names)}: rename it, or leave it out"
        )
    if len(names) < 2:
        raise DataError(f"data {path}: found the label {', '.join(names)} only; expected two or more")
    subjects = list(persons) if all(persons) else _persons(path, files, person)
    emotions = [LABEL_SYNONYMS.get(label.lower()) for label in labels]
    what = "photos with labels of the user's own"
    if subjects is not None and not person and not all(persons):
        what += f" ({len(set(subjects))} persons by file names such as {files[0].name}; --person REGEX says otherwise)"
    rows = files_of(what, framing_of(files), files, emotions, usages, subject=subjects)
    return with_labels(rows, [name or "" for name in found], names)


def with_labels(rows: Rows, found: Sequence[str], names: Sequence[str]) -> Rows:
    """The rows with a column of own labels; ``found`` holds each row's name, "" for none."""
    index = {name: i for i, name in enumerate(names)}
    own = np.array([index.get(name, -1) for name in found], dtype=np.int64)
    return dataclasses.replace(rows, own=own, own_names=tuple(names))


def with_known(rows: Rows, names: Sequence[str]) -> Rows:
    """A published set by own labels: those of them that are emotions by another or the same name."""
    mine = {LABEL_SYNONYMS[name.lower()]: name for name in names if name.lower() in LABEL_SYNONYMS}
    emotions = [EMOTIONS8[i] if i >= 0 else "" for i in emotions_of(rows)]
    return with_labels(rows, [mine.get(emotion, "") for emotion in emotions], names)


def emotions_of(rows: FaceRows) -> NDArray[np.int64]:
    """(N,) index into ``EMOTIONS8`` by whichever of the two known labels a row has; -1: neither."""
    seven = np.array([i for i, name in enumerate(EMOTIONS8) if name != "contempt"] + [-1], dtype=np.int64)
    return np.where(rows.label8 >= 0, rows.label8, seven[rows.label7])


def _persons(path: Path, files: Sequence[Path], pattern: str) -> list[str] | None:
    """Who each file shows by its name; None where nothing says."""
    if pattern:
        matches = [re.search(pattern, file.name) for file in files]
        missing = [file.name for file, match in zip(files, matches, strict=True) if not (match and match.group(1))]
        if missing:
            raise DataError(
                f"data {path}: {len(missing)} file names do not fit the pattern {pattern!r} of a person, e.g. "
                f"{missing[0]!r}; expected its first group in each"
            )
        return [match.group(1) for match in matches if match]
    likely = [match.group(1) for file in files if (match := _LIKELY_PERSON.fullmatch(file.name))]
    if len(likely) < len(files) or not _FEWEST_PERSONS <= len(set(likely)) <= len(files) // 2:
        return None
    return likely


def pictures_digest(table: Path) -> str | None:
    """Digest of the bytes of all pictures that a table names; None for a table that is none of pictures."""
    try:
        if not _columns(table).keys() >= {"image", "label"}:
            return None
    except DataError:
        return None
    digests = {file: sha256_file(file) for file, *_ in _from_csv(table)}
    return digest_json([[os.path.relpath(file, table.parent), digest] for file, digest in sorted(digests.items())])


def _from_folders(folder: Path) -> list[tuple[Path, str, str, str]]:
    listed = []
    splits = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() in SPLITS]
    for place, usage in [(path, SPLITS[path.name.lower()]) for path in splits] or [(folder, ALL)]:
        for group in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
            listed += [(file, group.name, usage, "") for file in photo_files(group)]
    return listed


def _columns(path: Path) -> dict[str, str]:
    """Our name of each column that a table has -> its own."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data {path}: cannot be read as CSV ({error}); expected the columns image,label") from error
    names = {name.strip().lower(): name for name in header}
    return {ours: names[theirs] for ours, spellings in _COLUMNS.items() for theirs in spellings if theirs in names}


def _from_csv(path: Path) -> list[tuple[Path, str, str, str]]:
    columns = _columns(path)
    if lacking := {"image", "label"} - columns.keys():
        raise DataError(
            f"data {path}: has no column {', '.join(sorted(lacking))}; expected image,label[,person][,split]"
        )
    listed = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            values = {ours: (row.get(theirs) or "").strip() for ours, theirs in columns.items()}
            picture = path.parent / values["image"]
            if not values["image"] or not picture.is_file():
                raise DataError(
                    f"data {path}, line {number}: no such picture {values['image']!r}; paths count from the table's "
                    "folder"
                )
            if not values["label"]:
                continue
            split = values.get("split", "")
            if split and split.lower() not in SPLITS:
                raise DataError(f"data {path}, line {number}: split {split!r}; expected one of {', '.join(SPLITS)}")
            listed.append((picture, values["label"], SPLITS[split.lower()] if split else ALL, values.get("person", "")))
    return listed
