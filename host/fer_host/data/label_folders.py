"""Photos in folders named by emotion: FER2013's public folders, CK+'s public 48 px crops, a user's own photos.

``train/angry/*.jpg`` with ``test/``, or the emotion folders alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_host.data.faces import ALL, TEST, TRAINING, FaceFiles, files_of
from fer_host.data.labels import LABEL_SYNONYMS
from fer_host.device_pipeline import photo_files
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
_CKPLUS_NAME = re.compile(r"(S\d{3})_(\d{3})_\d{8}", re.IGNORECASE)  # subject, sequence, frame


def emotion_folders(folder: Path) -> dict[Path, str]:
    """Subfolders named as an emotion, and our name for each."""
    named = {path: LABEL_SYNONYMS.get(path.name.lower()) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {path: name for path, name in named.items() if name is not None}


def split_folders(folder: Path) -> dict[Path, str]:
    """Subfolders named as a split that hold emotion folders, and our name of the split."""
    named = {path: SPLITS.get(path.name.lower()) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {path: name for path, name in named.items() if name is not None and emotion_folders(path)}


def load_split_folders(folder: Path) -> FaceFiles:
    """FER2013's public folders: face crops by split and emotion.

    Raises:
        DataError: a split lacks an emotion that another has, or there are no photos.
    """
    splits = split_folders(folder)
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
    return files_of("folders of face crops by split and emotion", "crops", files, names, usages)


def load_emotion_folders(folder: Path) -> FaceFiles:
    """Emotion folders without splits: CK+'s public crops where all names are of that form, else a user's photos.

    Raises:
        DataError: the folders are empty.
    """
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
