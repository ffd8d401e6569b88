"""What every data set becomes: rows of labels, splits and groups, with pixels (``FaceData``) or files (``FaceFiles``).

Readers list files without opening them, so that a split can be chosen before anything is decoded.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]  # publishes no types
from numpy.typing import NDArray
from tqdm import tqdm

from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8, LABEL_SETS
from fer_edge.contract.preprocess import resize
from fer_host.device_pipeline import ImageError, RgbImage, read_photo
from fer_host.errors import DataError
from fer_host.files.artifacts import sha256_bytes

TRAINING, TEST, ALL = "Training", "Test", "All"  # ALL: the set is published without a split
Crop = Callable[[RgbImage], RgbImage | None]  # a photo -> its aligned face, None where there is none
Rows = TypeVar("Rows", bound="FaceRows")

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as preprocess has it
_BOX_GROWTH = 0.4  # of a face box's side, on each side: detectors want some room around a face
_NO_BOX = (0, 0, 0, 0)
_COPIES = 2  # the set, and the Training rows that training takes out of it


@dataclass(frozen=True, kw_only=True)
class FaceRows:
    """All of a data set but its pictures.

    Attributes:
        source: the layout that was recognized, in words.
        label8: (N,) int64 index into ``EMOTIONS8``; -1 where the row has no label among them.
        label7: (N,) int64 index into ``EMOTIONS7``; -1 likewise.
        usage: (N,) str, the split; "All" where none is published.
        votes8: (N, 8) float32 crowd votes in the order of ``EMOTIONS8``; zeros where nobody voted.
        majority8: (N,) int64 label that more than half of the crowd agreed on, see ``fer2013.agreed_label``; -1 where
            there is none, None for sets without votes.
        duplicate: (N,) bool, pixel-identical to a Training image.
        sequence: (N,) str; rows of one sequence (near-identical frames, or identical images) share it.
        subject: (N,) str; rows of one person share it. The sequence where persons are not known.
        own: (N,) int64 index into ``own_names``, which are labels of the user's own; -1 where the row has none.
        own_names: see there, in output order.
    """

    source: str
    label8: NDArray[np.int64]
    label7: NDArray[np.int64]
    usage: NDArray[np.str_]
    votes8: NDArray[np.float32]
    duplicate: NDArray[np.bool_]
    sequence: NDArray[np.str_]
    subject: NDArray[np.str_]
    majority8: NDArray[np.int64] | None = None
    own: NDArray[np.int64] | None = None
    own_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.usage)

    def labels(self, name: str) -> NDArray[np.int64]:
        """(N,) labels in the order of the label set "ferplus8", "fer7" or "own", or by "ferplus8_majority"."""
        if name == "own":
            return self.own if self.own is not None else np.full(len(self), -1, dtype=np.int64)
        if name == "ferplus8_majority":
            return self.majority8 if self.majority8 is not None else np.full(len(self), -1, dtype=np.int64)
        return self.label8 if name == "ferplus8" else self.label7

    def names(self, labels: str) -> tuple[str, ...]:
        """The label set's names in order."""
        return self.own_names if labels == "own" else LABEL_SETS[labels]

    @property
    def persons_known(self) -> bool:
        """Whether ``subject`` tells persons apart, and not only sequences or identical images."""
        return bool((self.subject != self.sequence).any())

    def select(self: Rows, mask: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """The rows where ``mask`` (N,) holds, or those with these indices; all of them are not copied."""
        if mask.dtype == np.bool_ and mask.all():
            return self
        columns = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        chosen: dict[str, Any] = {k: value[mask] for k, value in columns.items() if isinstance(value, np.ndarray)}
        return dataclasses.replace(self, **chosen)


@dataclass(frozen=True, kw_only=True)
class FaceData(FaceRows):
    """Rows with their pixels; ``images`` is (N, h, w) uint8 gray, or (N, h, w, 3) RGB."""

    images: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FaceFiles(FaceRows):
    """Rows whose pictures are files that have not been opened.

    Attributes:
        files: (N,) of Path.
        boxes: (N, 4) face boxes x, y, w, h in px; all zero where the whole picture is meant.
        framing: "crops" are faces already, "photos" show more, and a detector must find the face.
    """

    files: NDArray[np.object_]
    boxes: NDArray[np.int64]
    framing: Literal["crops", "photos"]

    def open(self, i: int, crop: Crop | None) -> RgbImage | None:
        """Row ``i``'s face, RGB; None where ``crop`` finds none.

        Args:
            i: row.
            crop: cuts the face out of a photo; None takes the box, or else the picture, as the face.

        Raises:
            DataError: the picture cannot be read.
        """
        try:
            photo = read_photo(self.files[i])
        except ImageError as error:
            raise DataError(f"data: {error}; copy the data set again") from error
        image = photo.image
        if self.boxes[i].any():
            image = _cut(image, self.boxes[i] * photo.scale, _BOX_GROWTH if crop else 0.0)
        return crop(image) if crop else image

    def read(self, crop: Crop | None, size_px: int, color: Literal["gray", "rgb"] = "gray") -> FaceData:
        """Opens all rows; those in which no face is found are left out and counted on stderr's progress bar.

        Args:
            crop: for photos, see ``open``; not used for a set of crops.
            size_px: side of the square that every face is reduced to (area average), or enlarged to.
            color: of the result.

        Raises:
            DataError: a picture cannot be read, there is no face in any, or they do not fit into memory.
        """
        crop = crop if self.framing == "photos" else None
        check_memory(self, size_px, color)
        pixels = np.empty((len(self), size_px, size_px, *((3,) if color == "rgb" else ())), dtype=np.uint8)
        kept: list[int] = []
        for i in tqdm(range(len(self)), unit="photo", desc="faces", disable=None, leave=False):
            face = self.open(i, crop)
            if face is not None:
                pixels[len(kept)] = square(face, size_px, color)
                kept.append(i)
        if not kept:
            raise DataError(f"data: no face found in {len(self)} photos of {self.source}; expected faces to look at")
        rows, pixels = self.select(np.array(kept, dtype=np.int64)), pixels[: len(kept)]
        columns = {f.name: getattr(rows, f.name) for f in dataclasses.fields(FaceRows)}
        groups = identical_groups(pixels)
        if len(np.unique(rows.sequence)) == len(rows):  # no sequences are known
            columns["sequence"] = groups
        if not self.persons_known:
            columns["subject"] = columns["sequence"]
        columns["duplicate"] = duplicates(groups, rows.usage)
        return FaceData(images=pixels, **columns)


def check_memory(rows: FaceRows, size_px: int, color: str) -> None:
    """Refuses a set whose pictures, and the copy of those that are trained on, would not fit into free memory.

    Raises:
        DataError: they would not; says how much they take and how much there is.
    """
    bytes_per_px = len(rows) * (3 if color == "rgb" else 1)
    needed, free = _COPIES * bytes_per_px * size_px**2, free_bytes()
    if needed > free:
        fitting = int((free / (_COPIES * bytes_per_px)) ** 0.5)
        raise DataError(
            f"data {rows.source}: {len(rows)} images of {size_px} x {size_px} px ({color}) take {needed / 1e9:.3g} GB "
            f"in training, found {free / 1e9:.3g} GB of free memory; expected a recipe with a smaller source_px "
            f"({fitting} fits), or fewer images"
        )


def free_bytes() -> int:
    """Memory that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


def _cut(image: RgbImage, box: NDArray[np.float64], growth: float) -> RgbImage:
    x, y, w, h = box
    x0, y0 = max(0, int(x - growth * w)), max(0, int(y - growth * h))
    x1, y1 = int(np.ceil(x + (1 + growth) * w)), int(np.ceil(y + (1 + growth) * h))
    part = image[y0:y1, x0:x1]
    return part if part.size else image


def square(face: RgbImage, size_px: int, color: str) -> NDArray[np.uint8]:
    """A face as (size_px, size_px, 3) RGB for the color "rgb", else (size_px, size_px) gray."""
    image = face.astype(np.float32)
    if color != "rgb":
        image = image @ _LUMA
    method = "area" if min(image.shape[:2]) > size_px else "bilinear"
    return np.clip(np.rint(resize(image, (size_px, size_px), method)), 0, 255).astype(np.uint8)


def columns_of(
    names: Sequence[str | None],
    usage: Sequence[str],
    sequence: Sequence[str] | None = None,
    subject: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields of ``FaceRows`` but ``source`` from plain lists, for sets without votes.

    Args:
        names: of the emotion, as in ``EMOTIONS8``; None where there is no label.
        usage: split.
        sequence: None makes every row one of its own.
        subject: None takes the sequences.
    """
    n = len(names)
    alone = sequence if sequence is not None else [str(i) for i in range(n)]
    return {
        "label8": np.array([EMOTIONS8.index(x) if x in EMOTIONS8 else -1 for x in names], dtype=np.int64),
        "label7": np.array([EMOTIONS7.index(x) if x in EMOTIONS7 else -1 for x in names], dtype=np.int64),
        "usage": np.array(usage, dtype=str),
        "votes8": np.zeros((n, len(EMOTIONS8)), dtype=np.float32),
        "duplicate": np.zeros(n, dtype=bool),
        "sequence": np.array(alone, dtype=str),
        "subject": np.array(subject if subject is not None else alone, dtype=str),
    }


def files_of(
    source: str,
    framing: Literal["crops", "photos"],
    files: Sequence[Path],
    names: Sequence[str | None],
    usage: Sequence[str],
    *,
    sequence: Sequence[str] | None = None,
    subject: Sequence[str] | None = None,
    boxes: Sequence[tuple[int, int, int, int]] | None = None,
) -> FaceFiles:
    """``FaceFiles`` from plain lists; see there and ``columns_of``."""
    paths = np.empty(len(files), dtype=object)
    paths[:] = list(files)
    table = np.array(boxes if boxes is not None else [_NO_BOX] * len(files), dtype=np.int64).reshape(-1, 4)
    columns = columns_of(names, usage, sequence, subject)
    return FaceFiles(source=source, framing=framing, files=paths, boxes=table, **columns)


def identical_groups(images: NDArray[np.uint8]) -> NDArray[np.str_]:
    """(N,) str, the same for pixel-identical images: the first one's row."""
    first: dict[str, int] = {}
    return np.array([str(first.setdefault(sha256_bytes(image.tobytes()), i)) for i, image in enumerate(images)])


def duplicates(groups: NDArray[np.str_], usage: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(N,) bool: rows outside Training whose pixels a Training row has too, by their ``identical_groups``."""
    return np.asarray((usage != TRAINING) & np.isin(groups, groups[usage == TRAINING]), dtype=bool)


def describe(rows: FaceRows) -> str:
    """One line for the terminal: what a path was taken for, rows by split, labels that occur."""
    splits = ", ".join(f"{split} {n}" for split, n in Counter(rows.usage.tolist()).items())
    known = np.maximum(rows.label8, -1)
    names = (
        list(rows.own_names)
        or [EMOTIONS8[i] for i in np.unique(known[known >= 0])]
        or [EMOTIONS7[i] for i in np.unique(rows.label7[rows.label7 >= 0])]
    )
    return f"{rows.source}: {len(rows)} images ({splits}); labels {', '.join(names) or 'none'}"


def unlabelled(rows: FaceRows, labels: str) -> str | None:
    """One line on rows that have no label of a label set, and on labels of it that no row has; None: neither."""
    missing = rows.labels(labels) < 0
    expected = rows.names(labels)
    others = Counter(EMOTIONS8[i] for i in rows.label8[missing] if i >= 0 and EMOTIONS8[i] not in expected)
    found = set(rows.labels(labels).tolist())
    untrained = [name for i, name in enumerate(expected) if i not in found]
    parts = []
    if missing.any():
        named = f" ({', '.join(f'{n} {name}' for name, n in others.items())})" if others else ""
        parts.append(f"{missing.sum()} of {len(rows)} images have no label of {labels}{named} and are left out")
    if untrained:
        parts.append(f"no image is labelled {' or '.join(untrained)}: such outputs stay untrained")
    return "; ".join(parts) or None
