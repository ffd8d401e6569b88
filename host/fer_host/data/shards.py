"""A set in shards: ``set.json``, ``rows.npz`` and ArrayRecord files, as ``fer-host shard`` leaves them (``sharding``).

A record is one picture's file: as published for crops, a PNG of the face that was cut out for photos. Any record can be
read alone, so the order of training is anyone's choice, and each block carries a digest, so damage is seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_edge.contract.arrays import ArraySpec, read_arrays
from fer_edge.contract.bounds import SHARD_ROWS_BYTES as _LARGEST_BYTES
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data.streamed import Source
from fer_host.data.unread import Crop, Unread
from fer_host.device_pipeline import ImageError, RgbImage, decode_photo
from fer_host.errors import DataError

SCHEMA = "fer-edge/shards/1"
SET, ROWS = "set.json", "rows.npz"
TEXTS = ("names", "usage", "sequence", "subject")  # of each row, as one text with a zero byte between them
ARRAYS = {
    "label8": ArraySpec("integer", ("n",)),
    "label7": ArraySpec("integer", ("n",)),
    "votes8": ArraySpec("number", ("n", 8)),
    "majority8": ArraySpec("integer", ("n",)),
    "own": ArraySpec("integer", ("n",)),
    "sha256": ArraySpec("image", ("n", 32)),
    "pixels": ArraySpec("image", ("n", 32)),
    **{name: ArraySpec("image", (name,)) for name in TEXTS},
}
_OPTIONAL = ("majority8", "own")
_READING = "readahead_buffer_size:0,max_parallelism:0"  # records are asked for one by one
_OPEN_AT_ONCE = 256  # files of a process; a set has 64 to a few hundred shards


@dataclass(frozen=True)
class Shard:
    """One file: its name, its records, its size in bytes."""

    file: str
    n: int
    size_bytes: int


@dataclass(frozen=True)
class SetDoc:
    """``set.json``.

    Attributes:
        kind: "expressions" or "identities".
        source: the layout that it was made of, in words.
        n: pictures.
        digest: over all columns and the digests of all pictures' bytes.
        cut: detector and crop that photos were cut with; None where crops lie as they were published.
        own_names: labels of the user's own, in output order.
        left_out: pictures that are not in it, by the reason.
        shards: in the order of the rows.
    """

    kind: str
    source: str
    n: int
    digest: str
    cut: Mapping[str, Any] | None
    own_names: tuple[str, ...]
    left_out: Mapping[str, int]
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class ShardSource:
    """The pictures of a set in shards; see ``streamed.Source``.

    Files are opened by the process that reads, and each is looked at once: one that is not what ``set.json`` says costs
    its own pictures, by an ImageError each.
    """

    folder: Path
    shards: tuple[Shard, ...]
    names: tuple[bytes, NDArray[np.int64]]
    pixels: NDArray[np.uint8]
    _open: dict[tuple[int, int], Any] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def digests(self) -> NDArray[np.uint8]:
        """See ``Source``."""
        return self.pixels

    def name(self, row: int) -> str:
        """Of the picture that it was."""
        text, ends = self.names
        return text[ends[row - 1] + 1 if row else 0 : ends[row]].decode(errors="replace")

    def picture(self, row: int) -> RgbImage:
        """See ``Source``."""
        return decode_photo(self.content(row), f"picture {self.name(row)} of {self.folder}").image

    def content(self, row: int) -> bytes:
        """The picture's file.

        Raises:
            ImageError: the shard is damaged there.
        """
        number = int(np.searchsorted(self._ends, row, side="right"))
        shard, record = self.shards[number], row - int(self._ends[number] - self.shards[number].n)
        what = f"shard {self.folder / shard.file}, record {record} ({self.name(row)})"
        reader = self._reader(number)
        if isinstance(reader, str):
            raise ImageError(f"{what}: {reader}")
        try:
            return bytes(reader.read([record])[0])
        except (RuntimeError, IndexError) as error:
            raise ImageError(f"{what}: damaged ({str(error).partition(',')[0][:100]}); copy the shard again") from error

    @property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([shard.n for shard in self.shards])

    def _reader(self, number: int) -> Any:
        """An open file, or what is wrong with it."""
        key = (os.getpid(), number)  # a reader has threads, which no fork takes along
        if key not in self._open:
            if len(self._open) >= _OPEN_AT_ONCE:
                self._open.pop(next(iter(self._open)))
            self._open[key] = _opened(self.folder, self.shards[number])
        return self._open[key]


def _opened(folder: Path, shard: Shard) -> Any:
    from array_record.python.array_record_module import ArrayRecordReader  # type: ignore[import-untyped]  # has none

    path = folder / shard.file
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"{error.strerror}; copy the shard again"
    if size != shard.size_bytes:
        return f"damaged (found {size} bytes, expected {shard.size_bytes}); copy the shard again"
    try:
        reader = ArrayRecordReader(str(path), _READING)
        n = reader.num_records()
    except RuntimeError as error:
        return f"damaged ({str(error).partition(',')[0][:100]}); copy the shard again"
    return reader if n == shard.n else f"damaged (found {n} records, expected {shard.n}); copy the shard again"


@dataclass(frozen=True, kw_only=True)
class FaceShards(Unread):
    """Rows whose pictures lie in shards: crops, or the faces that were cut out of photos.

    Attributes:
        pictures: all of the set's.
        rows: (N,) of them.
        document: see there.
    """

    pictures: ShardSource
    rows: NDArray[np.int64]
    document: SetDoc

    def opened(self, i: int, crop: Crop | None) -> RgbImage | None:
        """See ``Unread``."""
        return self.pictures.picture(int(self.rows[i]))

    def named(self, home: Path) -> tuple[str, ...]:
        """See ``Unread``."""
        return tuple(self.pictures.name(int(row)) for row in self.rows)

    def source_of(self) -> Source:
        """See ``Unread``."""
        return self.pictures

    def source_rows(self) -> NDArray[np.int64]:
        """See ``Unread``."""
        return self.rows

    def streams(self, size_px: int, color: str) -> bool:
        """Always: nothing is decoded before it is needed."""
        return True


def is_shards(folder: Path) -> bool:
    """Whether a folder holds a set in shards, a finished one."""
    return (folder / SET).is_file()


def load_shards(folder: Path) -> FaceShards:
    """The rows of a set in shards; no shard is opened.

    Raises:
        DataError: ``set.json`` or ``rows.npz`` is damaged, or of a newer version.
    """
    document = load_document(folder)
    try:
        arrays = read_arrays(folder / ROWS, ARRAYS, largest_bytes=_LARGEST_BYTES, optional=_OPTIONAL)
    except (SchemaError, OSError) as error:
        raise DataError(f"data {folder / ROWS}: {error}; make the shards again") from error
    texts = {name: arrays[name].tobytes() for name in TEXTS}
    ends = _ends_of(texts["names"])
    columns = {name: texts_of(texts[name]) for name in TEXTS[1:]}
    n = len(arrays["label8"])
    problem = (
        document.n != n
        or sum(shard.n for shard in document.shards) != n
        or len(ends) != n
        or any(len(each) != n for each in columns.values())
        or not _within(arrays["label8"], len(EMOTIONS8))
        or not _within(arrays["label7"], len(EMOTIONS7))
        or not _within(arrays.get("majority8", arrays["label8"]), len(EMOTIONS8))
        or ("own" in arrays and not _within(arrays["own"], len(document.own_names)))
    )
    if problem or not n:
        raise DataError(f"data {folder}: {SET} and {ROWS} do not belong together; make the shards again")
    own = arrays["own"].astype(np.int64) if "own" in arrays else None
    return FaceShards(
        source=f"{document.source} (in shards)",
        framing="crops",
        label8=arrays["label8"].astype(np.int64),
        label7=arrays["label7"].astype(np.int64),
        votes8=arrays["votes8"].astype(np.float32),
        majority8=arrays["majority8"].astype(np.int64) if "majority8" in arrays else None,
        usage=np.array(columns["usage"], dtype=str),
        sequence=np.array(columns["sequence"], dtype=str),
        subject=np.array(columns["subject"], dtype=str),
        duplicate=np.zeros(n, dtype=bool),
        own=own,
        own_names=document.own_names,
        pictures=ShardSource(folder, document.shards, (texts["names"], ends), arrays["pixels"]),
        rows=np.arange(n, dtype=np.int64),
        document=document,
    )


def load_document(folder: Path) -> SetDoc:
    """``set.json`` of a folder.

    Raises:
        DataError: it is damaged, or of a newer version.
    """
    path = folder / SET
    try:
        raw = json.loads(path.read_bytes())
        if raw["schema"] != SCHEMA:
            raise DataError(f"data {path}: schema {raw['schema']!r}, expected {SCHEMA}: update, or make it again")
        shards = tuple(Shard(str(s["file"]), int(s["n"]), int(s["bytes"])) for s in raw["shards"])
        if any(Path(shard.file).name != shard.file or shard.n < 1 for shard in shards):
            raise ValueError("a shard outside the folder, or without pictures")
        names, left_out = tuple(map(str, raw["own_names"])), {str(k): int(v) for k, v in raw["left_out"].items()}
        return SetDoc(raw["kind"], raw["source"], int(raw["n"]), raw["digest"], raw["cut"], names, left_out, shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"data {path}: does not read ({error}); expected {SCHEMA}: make the shards again") from error


def check_cut(data: Unread, cut: Mapping[str, Any] | None, who: str) -> None:
    """Refuses faces that were cut out of photos for another network's crop.

    Raises:
        DataError: says which crop was found and which is expected.
    """
    if isinstance(data, FaceShards) and data.document.cut is not None and cut is not None and data.document.cut != cut:
        found = data.document.cut
        raise DataError(
            f"data {data.pictures.folder}: its faces were cut out with detector {found['detector']}, "
            f"{found['crop_hw']} px; expected {cut['detector']}, {cut['crop_hw']} px and {who}'s own template: "
            "`fer-host shard DATA OUT --model RECIPE` of that recipe"
        )


def blob(texts: Sequence[bytes]) -> NDArray[np.uint8]:
    """Texts as one array, see ``TEXTS``; a file's name holds no zero byte."""
    return np.frombuffer(b"\0".join(texts), dtype=np.uint8)


def texts_of(content: bytes) -> list[str]:
    """The reverse of ``blob``."""
    return content.decode(errors="replace").split("\0")


def _ends_of(content: bytes) -> NDArray[np.int64]:
    found = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == 0)
    return np.append(found, len(content)).astype(np.int64)


def _within(labels: NDArray[Any], n: int) -> bool:
    return bool(((labels >= -1) & (labels < n)).all())
