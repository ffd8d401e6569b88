"""What ``fer-host shard`` is to make: the rows of a set, listed and not opened, and all that the shards depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_host.data.faces import ALL
from fer_host.data.identities import is_identities, list_identities
from fer_host.data.load import data_digest, open_data
from fer_host.data.unread import Crop, FaceFiles, files_of
from fer_host.errors import DataError
from fer_host.files.artifacts import digest_json

_LEAST, _MOST, _SHARDS = 64, 16_384, 64  # pictures of a shard, and how many shards where neither limit is met


@dataclass(frozen=True)
class Job:
    """What is made: all that the result depends on.

    Attributes:
        rows: listed, not opened.
        home: the data's folder; names of pictures count from it.
        kind: "expressions" or "identities".
        key: digest of the data and of ``cut``.
        cut: see ``SetDoc``; None for crops, whose files are taken as they are.
        cropper: makes, in a worker, what cuts faces out of photos.
    """

    rows: FaceFiles
    home: Path
    kind: str
    key: str
    cut: Mapping[str, Any] | None
    cropper: Callable[[], Crop]

    @property
    def per_shard(self) -> int:
        """Pictures of each shard but the last."""
        return min(_MOST, max(_LEAST, -(-len(self.rows) // _SHARDS)))

    def shard(self, number: int) -> range:
        """Its rows."""
        return range(number * self.per_shard, min(len(self.rows), (number + 1) * self.per_shard))

    @property
    def n_shards(self) -> int:
        """Of all rows."""
        return -(-len(self.rows) // self.per_shard)


def job_of(
    data: Path, cut: Mapping[str, Any], cropper: Callable[[], Crop], own: Sequence[str] = (), person: str = ""
) -> Job:
    """Lists a set: any that ``open_data`` recognizes and that holds picture files, or VGGFace2's identities.

    Args:
        data: see ``open_data``.
        cut: detector and crop, for photos.
        cropper: see ``Job``.
        own: see ``open_data``.
        person: see ``open_data``.

    Raises:
        DataError: see ``open_data``; a set that holds pixels and no files, or is in shards already.
    """
    kind = "identities" if data.is_dir() and is_identities(data) else "expressions"
    rows = _people(data) if kind == "identities" else open_data(data, own, person)
    if not isinstance(rows, FaceFiles):
        raise DataError(f"data {data}: {rows.source} holds no picture files; expected a set that does: use it as it is")
    used = dict(cut) if rows.framing == "photos" else None
    key = digest_json([data_digest(data), used, kind, list(own), person])
    return Job(rows, data if data.is_dir() else data.parent, kind, key, used, cropper)


def _people(data: Path) -> FaceFiles:
    files, labels, people = list_identities(data)
    n, names = len(files), [people[label] for label in labels]
    return files_of("faces by identity", "crops", files, [None] * n, [ALL] * n, subject=names)
