"""``--data PATH``: recognizes a published layout from what is there, and says what it took it for."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fer_host.data import affectnet, ckplus, fer2013, fer2013_csv, jaffe, label_folders, rafdb
from fer_host.data.faces import FaceData, describe, unlabelled
from fer_host.data.identities import is_identities
from fer_host.data.own import is_own, load_own, pictures_digest, with_known
from fer_host.data.shards import check_cut, is_shards, load_document, load_shards
from fer_host.data.unread import Crop, Unread
from fer_host.device_pipeline import PHOTO_SUFFIXES
from fer_host.errors import DataError
from fer_host.files.artifacts import digest_json, sha256_file


class Layout(NamedTuple):
    """A folder layout: how it is recognized, how it is read, what it looks like."""

    matches: Callable[[Path], bool]
    read: Callable[[Path], FaceData | Unread]
    example: str


def _has_csv(folder: Path) -> bool:
    return any((folder / name).is_file() for name in fer2013_csv.NAMES)


def _read_csv(folder: Path) -> FaceData:
    return fer2013_csv.load_csv(next(folder / name for name in fer2013_csv.NAMES if (folder / name).is_file()))


LAYOUTS = (  # the first that matches; emotion folders come last because a user's own photos look like nothing else
    Layout(_has_csv, _read_csv, "fer2013.csv"),
    Layout(rafdb.is_rafdb, rafdb.load_rafdb, "EmoLabel + Image/aligned (RAF-DB)"),
    Layout(affectnet.is_affectnet, affectnet.load_affectnet, "train_set + val_set (AffectNet)"),
    Layout(affectnet.is_affectnet_csv, affectnet.load_affectnet_csv, "training.csv + validation.csv (AffectNet)"),
    Layout(ckplus.is_ckplus, ckplus.load_ckplus, "cohn-kanade-images + Emotion (CK+)"),
    Layout(jaffe.is_jaffe, jaffe.load_jaffe, "KA.AN1.39.tiff (JAFFE)"),
    Layout(
        lambda p: bool(label_folders.split_folders(p)), label_folders.load_split_folders, "train/angry + test/angry"
    ),
    Layout(lambda p: bool(label_folders.emotion_folders(p)), label_folders.load_emotion_folders, "angry, happy, ..."),
)
_WRAPPERS = ("basic", "jaffe", "jaffedbase", "CK+48", "CK+")  # folders that archives unpack into


def open_data(path: Path, own: Sequence[str] = (), person: str = "") -> FaceData | Unread:
    """The data set at ``path``: pixels where the file holds them, else a list of picture files.

    Args:
        path: FER2013's npz or CSV, or the top folder of any of ``LAYOUTS``.
        own: labels of the user's own, which its folders or a table name; a published set gives those it knows.
        person: see ``own.load_own``.

    Raises:
        DataError: nothing there, half a set, or a layout that is not known.
    """
    if path.is_dir() and is_shards(path):
        return _of_shards(path, own)
    if own:
        if path.exists() and is_own(path, own):
            return load_own(path, own, person)
        return with_known(open_data(path), own)
    if path.is_file():
        if path.suffix.lower() == ".csv":
            if path.name in affectnet.TABLES:
                return affectnet.load_affectnet_csv(path.parent)
            return fer2013_csv.load_csv(path)
        return fer2013.load(path)
    if not path.is_dir():
        raise DataError(f"data {path}: no such file or folder; expected FER2013's npz or CSV, or a data set's folder")
    for folder in (path, *(path / name for name in _WRAPPERS if (path / name).is_dir())):
        for layout in LAYOUTS:
            if layout.matches(folder):
                return layout.read(folder)
    if is_identities(path):
        raise DataError(
            f"data {path}: faces by identity (VGGFace2) carry no emotions; expected a set with expression labels"
        )
    found = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    expected = "; ".join(layout.example for layout in LAYOUTS)
    hint = "photos need a folder a label" if any(n.lower().endswith(PHOTO_SUFFIXES) for n in found) else "is it nested?"
    raise DataError(f"data {path}: found {shown or 'nothing'}; expected one of: {expected} ({hint})")


def load_data(
    path: Path,
    *,
    crop: Crop | None = None,
    size_px: int = 48,
    color: Literal["gray", "rgb"] = "gray",
    labels: str | None = None,
    own: Sequence[str] = (),
    person: str = "",
    cut: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> FaceData:
    """The data set at ``path`` with its pixels, which stream where they are many.

    A line on stderr says what it was taken for, another which rows and labels the label set does without.

    Args:
        path: see ``open_data``.
        crop: cuts faces out of photos, see ``device_pipeline.face_cropper``; needed for sets that are not crops.
        size_px: side of the squares that picture files become; FER2013's arrays stay 48 px.
        color: of the images; FER2013 has no color.
        labels: label set that is to be learned; picture files without a label of it are not opened.
        own: see ``open_data``.
        person: see ``open_data``.
        cut: what ``crop`` does, as ``shards.SetDoc`` has it; faces in shards that were cut in another way are refused.
        quiet: says nothing.

    Raises:
        DataError: see ``open_data`` and ``FaceFiles.read``; photos without a ``crop``, or no file with a label.
    """
    data = open_data(path, own, person)
    if not quiet:
        print(f"data {path}: taken for {describe(data)}", file=sys.stderr)
    note = unlabelled(data, labels) if labels is not None else None
    if note is not None and not quiet:
        print(f"data {path}: {note}", file=sys.stderr)
    if isinstance(data, FaceData):
        return data
    if data.framing == "photos" and crop is None:
        raise DataError(f"data {path}: {data.source} shows more than faces; expected crops, or a detector to cut them")
    check_cut(data, cut, "the recipe")
    if labels is not None:
        data = data.select(data.labels(labels) >= 0)
        if not len(data):
            raise DataError(f"data {path}: {data.source} has no image with a label of {labels}; expected some to learn")
    return data.read(crop, size_px, color)


def _of_shards(path: Path, own: Sequence[str]) -> Unread:
    data = load_shards(path)
    if data.document.kind == "identities":
        raise DataError(
            f"data {path}: faces by identity carry no emotions; expected a set with expression labels (a recipe with "
            'labels = "identities" takes these)'
        )
    return data if not own or data.own_names == tuple(own) else with_known(data, own)


def data_digest(path: Path) -> str:
    """Digest of a data set: a file's content, with that of the pictures that a table names; that of a set in shards.

    A folder's is of names and sizes, because some hold a million files; the shards made of it see every byte.
    """
    if path.is_file():
        if path.name in affectnet.TABLES:
            return data_digest(path.parent)
        pictures = pictures_digest(path) if path.suffix.lower() == ".csv" else None
        return sha256_file(path) if pictures is None else digest_json([sha256_file(path), pictures])
    if is_shards(path):
        return load_document(path).digest
    return digest_json([[name, size] for _, name, size in sorted(_files_below(path))])


def _files_below(folder: Path) -> list[tuple[tuple[str, ...], str, int]]:
    """Each file's parts, which it is sorted by as paths are, its name and its size."""
    found = []
    for place, _, names in os.walk(folder):
        above = Path(place).relative_to(folder).parts
        for name in names:
            try:
                status = os.stat(os.path.join(place, name))
            except OSError:  # a link to nothing
                continue
            if stat.S_ISREG(status.st_mode):
                parts = (*above, name)
                found.append((parts, "/".join(parts), status.st_size))
    return found
