"""Photos in folders named by emotion: FER2013's public folders, CK+'s public 48 px crops, a user's own photos.

``train/angry/*.jpg`` with ``test/``, or the emotion folders alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from fer_edge.contract.labels import EMOTIONS8
from fer_host.data.faces import ALL, TEST, TRAINING
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.data.unread import FaceFiles, files_of
from fer_host.device_pipeline import ImageError, photo_files, read_photo
from fer_host.errors import DataError

SPLITS = {
    "train": TRAINING,
    "training": TRAINING,
    "test": TEST,
    "val": "Validation",
    "valid": "Validation",
    "validation": "Validation",
    "publictest": "PublicTest",
    "privatetest": "PrivateTest",
}
_NO_EMOTION = ("other", "others", "unknown", "uncertain", "none", "unlabelled", "unlabeled")  # their names say so
_SHOWN = 3  # folders in a message
_LOOKED_AT = 16  # pictures that tell crops from photos
_LARGEST_CROP_PX = 128  # published crops have 48 (FER2013), 100 (RAF-DB), 112 px; squares above may be photos
_NUMBERS = (
    "the same numbers mean other emotions in every set (RAF-DB: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, "
    "6 anger, 7 neutral; AffectNet: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, "
    "7 contempt): name the folders after yours"
)
_CKPLUS_NAME = re.compile(r"(S\d{3})_(\d{3})_\d{8}", re.IGNORECASE)  # subject, sequence, frame


def emotion_folders(folder: Path) -> dict[Path, str]:
    """Subfolders named as an emotion, and our name for each."""
    named = {path: LABEL_SYNONYMS.get(path.name.lower()) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {path: name for path, name in named.items() if name is not None}


def check_folder_names(folder: Path) -> None:
    """Refuses a folder of photos whose name is no emotion that we know: left out without a word, it would be missed.

    Raises:
        DataError: names the folders and their photos, and what is expected.
    """
    unknown = {path: len(photo_files(path)) for path in sorted(folder.iterdir()) if path.is_dir()}
    unknown = {path: n for path, n in unknown.items() if n and path.name.lower() not in (*LABEL_SYNONYMS, *_NO_EMOTION)}
    if not unknown:
        return
    shown = ", ".join(f"{path.name!r} ({n} photos)" for path, n in list(unknown.items())[:_SHOWN])
    numbers = all(path.name.isdecimal() for path in unknown)
    raise DataError(
        f"data {folder}: {'class numbers' if numbers else 'no emotion that is known'}: {shown}"
        + (" and more" if len(unknown) > _SHOWN else "")
        + f"; expected folders named {', '.join(EMOTIONS8)}"
        + (f": {_NUMBERS}" if numbers else "; rename it, or move it out of the set")
    )


def split_folders(folder: Path) -> dict[Path, str]:
    """Subfolders named as a split that hold emotion folders, and our name of the split."""
    named = {path: SPLITS.get(path.name.lower()) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {path: name for path, name in named.items() if name is not None and _has_classes(path)}


def _has_classes(split: Path) -> bool:
    """Whether a split holds a folder by emotion, or by class number, which is refused later with its reason."""
    return bool(emotion_folders(split)) or any(
        p.name.isdecimal() and photo_files(p) for p in split.iterdir() if p.is_dir()
    )


def framing_of(files: Sequence[Path]) -> Literal["crops", "photos"]:
    """Crops where some pictures, spread over the set, are all squares of one small size; photos else.

    Raises:
        DataError: none of them can be read.
    """
    sizes, unread = set(), ""
    for i in np.linspace(0, len(files) - 1, min(len(files), _LOOKED_AT)).astype(int):
        try:
            photo = read_photo(files[i])
        except ImageError as error:
            unread = str(error)  # named when it is its turn
            continue
        sizes.add((*photo.image.shape[:2], photo.scale))
    if not sizes:
        raise DataError(f"data: {unread}; copy the data set again")
    (height, width, scale), *others = sizes
    return "crops" if not others and height == width <= _LARGEST_CROP_PX and scale == 1 else "photos"


def load_split_folders(folder: Path) -> FaceFiles:
    """FER2013's public folders, or others of that form: by split and emotion; pictures tell whether they are crops.

    Raises:
        DataError: a split lacks an emotion that another has, or there are no photos.
    """
    splits = split_folders(folder)
    for split in splits:
        check_folder_names(split)
    emotions = {split: set(emotion_folders(split).values()) for split in splits}
    every = set().union(*emotions.values())
    for split, found in emotions.items():
        if found != every:
            raise DataError(
                f"data {split}: lacks a folder for {', '.join(sorted(every - found))}, which another split has; "
                "expected the same emotions in every split: unpack the set again"
            )
    listed = [(path, name, usage) for split, usage in splits.items() for path, name in _photos(split)]
    files, names, usages = zip(*listed, strict=True)
    framing = framing_of(files)
    what = "face crops" if framing == "crops" else "photos, out of which the detector cuts faces,"
    return files_of(f"folders of {what} by split and emotion", framing, files, names, usages)


def load_emotion_folders(folder: Path) -> FaceFiles:
    """Emotion folders without splits: CK+'s public crops where all names are of that form, else a user's photos.

    Raises:
        DataError: the folders are empty.
    """
    check_folder_names(folder)
    listed = list(_photos(folder))
    files, names = zip(*listed, strict=True)
    matches = [_CKPLUS_NAME.fullmatch(path.stem) for path in files]
    parts = [match.groups() for match in matches if match]
    if len(parts) == len(files):
        return files_of(
            "CK+ as public 48 px crops",
            "crops",
            files,
            names,
            [ALL] * len(files),
            sequence=[f"{subject}_{sequence}".upper() for subject, sequence in parts],
            subject=[subject.upper() for subject, _ in parts],
        )
    return files_of("photos in folders named by emotion", "photos", files, names, [ALL] * len(files))


def _photos(folder: Path) -> list[tuple[Path, str]]:
    listed = [(path, name) for group, name in emotion_folders(folder).items() for path in photo_files(group)]
    if not listed:
        raise DataError(f"data {folder}: its emotion folders hold no photos; expected .jpg, .png, .bmp or .webp files")
    return listed
