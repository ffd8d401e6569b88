"""Pictures that are read when they are asked for, in the place of an array of them: sets of any size.

Nothing is kept: who asks twice reads twice. ``ahead`` reads in worker processes, in the order that is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.preprocess import resize
from fer_host.device_pipeline import ImageError, RgbImage, read_photo
from fer_host.errors import DataError

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as preprocess has it
_TRIES = 64  # other pictures in the place of one that cannot be read
_STRIDE = 2_654_435_761  # to the next of them, about the golden ratio of 2**32: far away, in another shard


class Source(Protocol):
    """Where pictures lie."""

    def __len__(self) -> int: ...

    def picture(self, row: int) -> RgbImage:
        """The face of a row, RGB.

        Raises:
            ImageError: it cannot be read.
        """
        ...

    def digests(self) -> NDArray[np.uint8] | None:
        """(n, bytes) digests of the pixels of all rows; None where nobody has looked at them."""
        ...


@dataclass(frozen=True)
class FileSource:
    """Pictures in files as published.

    Attributes:
        root: of the names.
        names: (n,) of bytes, relative to ``root``. An array, because worker processes share what they do not touch, and
            Python counts references in every object that it looks at.
        boxes: (n, 4) x, y, w, h in px of what is cut out; all zero for the whole picture.
    """

    root: Path
    names: NDArray[np.bytes_]
    boxes: NDArray[np.int64] | None = None

    @staticmethod
    def of(files: Iterable[Path], boxes: NDArray[np.int64] | None = None) -> FileSource:
        """From a list of paths."""
        texts = [str(file) for file in files]
        root = os.path.commonpath([os.path.dirname(end) for end in (min(texts), max(texts))]) if texts else ""
        names = np.array([os.fsencode(text[len(root) :].lstrip(os.sep)) for text in texts], dtype=bytes)
        return FileSource(Path(root), names, boxes if boxes is not None and boxes.any() else None)

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, row: int) -> RgbImage:
        """See ``Source``."""
        photo = read_photo(self.root / os.fsdecode(self.names[row]))
        if self.boxes is None or not self.boxes[row].any():
            return photo.image
        return cut(photo.image, self.boxes[row] * photo.scale, 0.0)

    def digests(self) -> None:
        """Nobody has looked at them."""


@dataclass(frozen=True)
class Streamed:
    """Rows of a source as squares: asked for like an array (N, h, w) gray or (N, h, w, 3) RGB uint8.

    Attributes:
        source: where they lie.
        rows: (N,) of the source.
        size_px: side of the squares.
        color: "gray" or "rgb".
    """

    source: Source
    rows: NDArray[np.int64]
    size_px: int
    color: str

    @staticmethod
    def all_of(source: Source, size_px: int, color: str) -> Streamed:
        """Every row of a source."""
        return Streamed(source, np.arange(len(source), dtype=np.int64), size_px, color)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self), self.size_px, self.size_px, *((3,) if self.color == "rgb" else ()))

    @property
    def ndim(self) -> int:
        """As an array's."""
        return len(self.shape)

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> Streamed:
        """Some of the rows, unread."""
        return replace(self, rows=self.rows[mask])

    def face(self, i: int) -> NDArray[np.uint8]:
        """One square.

        Raises:
            ImageError: it cannot be read.
        """
        return square(self.source.picture(int(self.rows[i])), self.size_px, self.color)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Reads one row (an integer) or several (a slice, indices or a mask).

        Raises:
            DataError: one of them cannot be read.
        """
        try:
            if isinstance(key, int | np.integer):
                return self.face(int(key))
            found = [self.face(int(i)) for i in np.arange(len(self))[key]]
        except ImageError as error:
            raise DataError(f"data: {error}") from error
        return np.stack(found) if found else np.zeros((0, *self.shape[1:]), dtype=np.uint8)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[i] for i in range(len(self)))

    def groups(self) -> NDArray[np.str_]:
        """(N,) str, the same for identical pictures (the first one's number); each its own where nobody has looked."""
        digests = self.source.digests()
        if digests is None:
            return np.arange(len(self)).astype(str)
        first: dict[bytes, int] = {}
        return np.array([str(first.setdefault(digests[row].tobytes(), i)) for i, row in enumerate(self.rows)])

    def readable(self, i: int, problems: list[str]) -> tuple[NDArray[np.uint8], int]:
        """A picture for training and its row: ``i``, or the one that always takes its place if that cannot be read.

        Args:
            i: row.
            problems: is told of each that cannot be read.

        Raises:
            DataError: so many cannot be read that this is no set to train on.
        """
        for attempt in range(_TRIES):
            row = (i + attempt * _STRIDE) % len(self)
            try:
                return self.face(row), row
            except ImageError as error:
                problems.append(str(error))
        raise DataError(f"data: {problems[-1]}; {_TRIES} pictures in a row cannot be read: expected a whole set")


Images = NDArray[np.uint8] | Streamed


def some(images: Images, rows: NDArray[Any]) -> Images:
    """Rows of pictures, unread where they stream."""
    return images.select(rows) if isinstance(images, Streamed) else images[rows]


def cut(image: RgbImage, box: NDArray[np.float64], growth: float) -> RgbImage:
    """A box out of a picture, grown by a share of its side on each side."""
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
