"""RAF-DB's basic set (Li et al. 2017): ``EmoLabel/list_patition_label.txt`` and ``Image/aligned``.

The aligned faces are 100 px, framed by the set's own landmarks; its file list is spelled as published.
"""

from __future__ import annotations

from pathlib import Path

from fer_host.data.faces import TEST, TRAINING
from fer_host.data.labels import RAFDB
from fer_host.data.unread import FaceFiles, files_of
from fer_host.errors import DataError

LIST = Path("EmoLabel") / "list_patition_label.txt"
IMAGES = Path("Image") / "aligned"


def is_rafdb(folder: Path) -> bool:
    """True where either half of the set is."""
    return (folder / "EmoLabel").is_dir() or (folder / IMAGES).is_dir()


def load_rafdb(folder: Path) -> FaceFiles:
    """Lists the set.

    Raises:
        DataError: half of it is missing, a line of the list does not read, or an image is not there.
    """
    if not (folder / LIST).is_file():
        raise DataError(f"data {folder}: RAF-DB without its labels; expected {LIST}: unpack EmoLabel.zip of 'basic'")
    if not (folder / IMAGES).is_dir():
        raise DataError(f"data {folder}: RAF-DB without its faces; expected {IMAGES}: unpack Image/aligned.zip")
    files, names, usage = [], [], []
    for line, text in enumerate((folder / LIST).read_text().splitlines(), 1):
        if not text.strip():
            continue
        try:
            name, number = text.split()
            names.append(RAFDB[int(number)])
            usage.append({"train": TRAINING, "test": TEST}[name.split("_")[0]])
        except (ValueError, KeyError) as error:
            raise DataError(
                f"data {folder / LIST}, line {line}: found {text.strip()!r}, "
                "expected e.g. 'train_00001.jpg 5' with labels 1 to 7"
            ) from error
        files.append(folder / IMAGES / f"{Path(name).stem}_aligned.jpg")
    missing = [path for path in files if not path.is_file()]
    if missing or not files:
        what = f"{len(missing)} of {len(files)} faces are missing, e.g. {missing[0].name}" if missing else "no faces"
        raise DataError(f"data {folder}: RAF-DB: {what}; expected all of the list: unpack Image/aligned.zip again")
    return files_of("RAF-DB, aligned faces of the basic set", "crops", files, names, usage)
