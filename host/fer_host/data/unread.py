"""Rows whose pictures have not been opened: files as published, which become pixels in memory, or stream.

Readers list files without opening them, so that a split can be chosen before anything is decoded.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import psutil  # type: ignore[import-untyped]  # publishes no types
from numpy.typing import NDArray
from tqdm import tqdm

from fer_host.data.faces import FaceData, FaceRows, columns_of, duplicates, identical_groups
from fer_host.data.streamed import FileSource, Images, Source, Streamed, cut, square
from fer_host.device_pipeline import ImageError, RgbImage, read_photo
from fer_host.errors import DataError

IN_MEMORY_BYTES = 2**30  # of crops as they are trained on; a larger set streams
Crop = Callable[[RgbImage], RgbImage | None]  # a photo -> its aligned face, None where there is none

_BOX_GROWTH = 0.4  # of a face box's side, on each side: detectors want some room around a face
_NO_BOX = (0, 0, 0, 0)
_COPIES = 2  # the set, and the Training rows that training takes out of it


@dataclass(frozen=True, kw_only=True)
class Unread(FaceRows):
    """Rows whose pictures have not been opened.

    Attributes:
        framing: "crops" are faces already, "photos" show more, and a detector must find the face.
    """

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
            return self.opened(i, crop)
        except ImageError as error:
            raise DataError(f"data: {error}; copy the data set again") from error

    def opened(self, i: int, crop: Crop | None) -> RgbImage | None:
        """As ``open``, but with ImageError where the picture cannot be read."""
        raise NotImplementedError

    def named(self, home: Path) -> tuple[str, ...]:
        """What each picture is called, below the data's folder where it lies there."""
        raise NotImplementedError

    def source_of(self) -> Source:
        """Where the pictures of crops lie."""
        raise NotImplementedError

    def source_rows(self) -> NDArray[np.int64]:
        """(N,) rows of ``source_of``."""
        return np.arange(len(self), dtype=np.int64)

    def read(self, crop: Crop | None, size_px: int, color: Literal["gray", "rgb"] = "gray") -> FaceData:
        """All rows with their pixels; those in which no face is found are left out.

        Pictures that cannot be read are named on stderr, counted and left out too. A set of crops that would take more
        than ``IN_MEMORY_BYTES`` is not opened: it streams.

        Args:
            crop: for photos, see ``open``; not used for a set of crops.
            size_px: side of the square that every face is reduced to (area average), or enlarged to.
            color: of the result.

        Raises:
            DataError: no picture can be read, there is no face in any, or photos do not fit into memory.
        """
        crop = crop if self.framing == "photos" else None
        if self.streams(size_px, color):
            return grouped(self, Streamed(self.source_of(), self.source_rows(), size_px, color))
        check_memory(self, size_px, color)
        pixels = np.empty((len(self), size_px, size_px, *((3,) if color == "rgb" else ())), dtype=np.uint8)
        kept: list[int] = []
        unreadable = 0
        for i in tqdm(range(len(self)), unit="photo", desc="faces", disable=None, leave=False):
            try:
                face = self.opened(i, crop)
            except ImageError as error:
                unreadable += 1
                print(f"data: {error}; left out", file=sys.stderr)
                continue
            if face is not None:
                pixels[len(kept)] = square(face, size_px, color)
                kept.append(i)
        if unreadable:
            print(f"data: {unreadable} of {len(self)} pictures cannot be read and are left out", file=sys.stderr)
        if not kept:
            raise DataError(f"data: no face found in {len(self)} photos of {self.source}; expected faces to look at")
        return grouped(self.select(np.array(kept, dtype=np.int64)), pixels[: len(kept)])

    def streams(self, size_px: int, color: str) -> bool:
        """Whether the rows are read as they are needed, and not once into memory."""
        needed = bytes_of(self, size_px, color)
        return self.framing == "crops" and needed > min(IN_MEMORY_BYTES, free_bytes())


@dataclass(frozen=True, kw_only=True)
class FaceFiles(Unread):
    """Rows whose pictures are files that have not been opened.

    Attributes:
        files: (N,) of Path.
        boxes: (N, 4) face boxes x, y, w, h in px; all zero where the whole picture is meant.
    """

    files: NDArray[np.object_]
    boxes: NDArray[np.int64]

    def opened(self, i: int, crop: Crop | None) -> RgbImage | None:
        """See ``Unread``."""
        photo = read_photo(self.files[i])
        image = photo.image
        if self.boxes[i].any():
            image = cut(image, self.boxes[i] * photo.scale, _BOX_GROWTH if crop else 0.0)
        return crop(image) if crop else image

    def named(self, home: Path) -> tuple[str, ...]:
        """See ``Unread``."""
        return tuple(p.relative_to(home).as_posix() if p.is_relative_to(home) else str(p) for p in self.files)

    def source_of(self) -> FileSource:
        """See ``Unread``."""
        return FileSource.of(self.files, self.boxes)


def grouped(rows: FaceRows, images: Images) -> FaceData:
    """Rows with their pictures; identical ones share a sequence where no sequences are known."""
    columns = {f.name: getattr(rows, f.name) for f in dataclasses.fields(FaceRows)}
    groups = identical_groups(images)
    if len(np.unique(rows.sequence)) == len(rows):  # no sequences are known
        columns["sequence"] = groups
    if not rows.persons_known:
        columns["subject"] = columns["sequence"]
    columns["duplicate"] = duplicates(groups, rows.usage)
    return FaceData(images=images, **columns)


def bytes_of(rows: FaceRows, size_px: int, color: str) -> int:
    """What the pictures take in memory, and the copy of those that are trained on."""
    return _COPIES * len(rows) * (3 if color == "rgb" else 1) * size_px**2


def check_memory(rows: FaceRows, size_px: int, color: str) -> None:
    """Refuses photos whose faces would not fit into free memory: a detector on every photo of every epoch is no way.

    Raises:
        DataError: they would not; says how much they take and how much there is.
    """
    needed, free = bytes_of(rows, size_px, color), free_bytes()
    if needed > free:
        raise DataError(
            f"data {rows.source}: {len(rows)} images of {size_px} x {size_px} px ({color}) take {needed / 1e9:.3g} GB "
            f"in training, found {free / 1e9:.3g} GB of free memory; expected faces that were cut out once: "
            "`fer-host shard DATA OUT`, then --data OUT"
        )


def free_bytes() -> int:
    """Memory that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


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
