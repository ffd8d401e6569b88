"""``fer-host shard``: a set of pictures becomes shards, once, in parallel; a killed run goes on where it was.

Shard by shard is made by worker processes in ``OUT.unfinished``, each under a temporary name and then renamed, with a
note of what is in it. When all are there the folder takes its name ``OUT``: a set is whole or absent.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from fer_edge.contract.whole import whole_file
from fer_host.data.ahead import Ahead
from fer_host.data.sharding_job import Job
from fer_host.data.shards import ROWS, SCHEMA, SET, SetDoc, blob, load_document
from fer_host.data.unread import Crop, FaceFiles
from fer_host.device_pipeline import ImageError, RgbImage, decode_photo
from fer_host.errors import DataError
from fer_host.files.artifacts import (
    digest_arrays,
    digest_json,
    one_line_if_disk_full,
    sha256_bytes,
    write_bytes,
    write_json,
)

LEFT_OUT, JOB, _LOCK = "left-out.csv", "job.json", ".lock"
JOB_SCHEMA = "fer-edge/shards-job/1"
UNREADABLE, NO_FACE = "cannot be read", "no face found"
_OURS = re.compile(r"\.(shard-\d{5}\.(array_record|json)|set\.json|rows\.npz|left-out\.csv)\.[0-9a-f]{8}\.tmp")
_WRITING = "group_size:1,uncompressed"  # one picture a block, so that it can be read alone; pictures are compressed
_LOCK_S = 20.0  # for the workers of a killed run to see that they are alone


def make_shards(job: Job, out: Path, workers: int | None = None) -> SetDoc:
    """Makes the set ``out``; one that is there already and of the same data is left as it is.

    Raises:
        DataError: ``out`` holds something else, another run works there, or no picture is left.
        HostError: no space left; the shards that are whole stay for the next run.
    """
    if (out / SET).is_file() and json.loads((out / SET).read_bytes()).get("key") == job.key:
        return load_document(out)
    if out.exists():
        raise DataError(
            f"--out {out}: is there and was made of other data, or not here; expected a new name, or move it away"
        )
    place = out.with_name(f"{out.name}.unfinished")
    with one_line_if_disk_full(place), _held(place, job.key):
        if not (place / SET).is_file():
            _make_missing(job, place, workers)
            _describe(job, place)
        for name in (_note(number) for number in range(job.n_shards)):
            (place / name).unlink(missing_ok=True)
        for name in (JOB, _LOCK):
            (place / name).unlink(missing_ok=True)
        os.rename(place, out)
    return load_document(out)


@contextlib.contextmanager
def _held(place: Path, key: str) -> Iterator[None]:
    """The unfinished folder, held by this run and its workers; what another key left there is cleared away."""
    found = {entry.name for entry in place.iterdir()} if place.is_dir() else set()
    if (found - {_LOCK} and not found & {JOB, SET}) or place.is_file():
        raise DataError(f"{place}: is there and was not made here; expected nothing at that name: move it away")
    place.mkdir(parents=True, exist_ok=True)
    with (place / _LOCK).open("ab") as lock:
        _wait_for(lock.fileno(), place)
        for entry in list(place.iterdir()):
            if _OURS.fullmatch(entry.name):
                entry.unlink()
        job: Any = None
        with contextlib.suppress(OSError, ValueError):
            job = json.loads((place / JOB).read_bytes())
        if not isinstance(job, dict) or job.get("key") != key:
            for entry in list(place.iterdir()):
                if re.fullmatch(r"shard-\d{5}\.(array_record|json)|set\.json|rows\.npz|left-out\.csv", entry.name):
                    entry.unlink()
            write_json(place / JOB, {"schema": JOB_SCHEMA, "key": key})
        yield


def _wait_for(lock: int, place: Path) -> None:
    until = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise DataError(f"{place}: another fer-host is working there; wait for it") from error
        time.sleep(0.1)


def _make_missing(job: Job, place: Path, workers: int | None) -> None:
    """Makes the shards that are not there, in parallel."""
    missing = [number for number in range(job.n_shards) if not _is_whole(job, place, number)]
    done = len(job.rows) - sum(len(job.shard(number)) for number in missing)
    if done:
        print(f"{place}: {done} of {len(job.rows)} pictures are there from an earlier run")
    parent = os.getpid()
    with tqdm(total=len(job.rows), initial=done, unit="photo", desc="shards", disable=None) as bar:
        for n, full in Ahead(lambda number: _try_shard(job, place, number, parent), missing, 1, workers):
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
            bar.update(n)


def _is_whole(job: Job, place: Path, number: int) -> bool:
    try:
        note = json.loads((place / _note(number)).read_bytes())
        size = (place / _file(number)).stat().st_size if note["kept"] else 0
        return bool(note["key"] == job.key and note["bytes"] == size)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _try_shard(job: Job, place: Path, number: int, parent: int) -> tuple[int, bool]:
    """In a worker: rows done, and whether the disk is full."""
    try:
        _make_shard(job, place, number, parent)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return 0, True
    return len(job.shard(number)), False


_croppers: dict[int, Crop] = {}  # of this process


def _make_shard(job: Job, place: Path, number: int, parent: int) -> None:
    if job.cut is not None and os.getpid() not in _croppers:
        _croppers[os.getpid()] = job.cropper()
    crop = _croppers.get(os.getpid()) if job.cut is not None else None
    kept: list[tuple[int, str, str]] = []
    left_out: list[tuple[int, str, str]] = []
    with whole_file(place / _file(number)) as unfinished:
        with _writer(unfinished) as write:
            for row in job.shard(number):
                if os.getppid() != parent:  # killed: nobody waits for this
                    unfinished.unlink(missing_ok=True)
                    os._exit(1)
                try:
                    content, face = _picture(job.rows, row, crop)
                except ImageError as error:
                    left_out.append((row, UNREADABLE, str(error)))
                    continue
                if content is None or face is None:
                    left_out.append((row, NO_FACE, ""))
                    continue
                write(content)
                kept.append((row, sha256_bytes(content), sha256_bytes(face.tobytes() + repr(face.shape).encode())))
        size = unfinished.stat().st_size
    if not kept:
        (place / _file(number)).unlink()
        size = 0
    note = {"key": job.key, "bytes": size, "kept": kept, "left_out": left_out}
    with whole_file(place / _note(number)) as file:
        file.write_bytes(json.dumps(note).encode())


def _picture(rows: FaceFiles, row: int, crop: Crop | None) -> tuple[bytes | None, RgbImage | None]:
    """The record of a row and its pixels; Nones where there is no face.

    Raises:
        ImageError: it cannot be read.
    """
    if crop is None and not rows.boxes[row].any():
        try:
            content = rows.files[row].read_bytes()
        except OSError as error:
            raise ImageError(f"photo {rows.files[row]}: {error.strerror}; expected a readable picture") from error
        return content, decode_photo(content, f"photo {rows.files[row]}").image
    face = rows.opened(row, crop)
    if face is None:
        return None, None
    done, png = cv2.imencode(".png", np.ascontiguousarray(face[:, :, ::-1]))
    assert done, "a face is a picture"
    return png.tobytes(), face


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Writes records.

    Raises:
        OSError: the disk is full; ArrayRecord says so by a text alone.
    """
    from array_record.python.array_record_module import ArrayRecordWriter  # type: ignore[import-untyped]  # has none

    try:
        writer = ArrayRecordWriter(str(path), _WRITING)
        try:
            yield lambda content: writer.write(content)
        finally:
            writer.close()
    except RuntimeError as error:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), str(path)) from error
        raise


def _file(number: int) -> str:
    return f"shard-{number:05d}.array_record"


def _note(number: int) -> str:
    return f"shard-{number:05d}.json"


def _describe(job: Job, place: Path) -> None:
    """Writes what is in the shards, ``set.json`` last."""
    notes = [json.loads((place / _note(number)).read_bytes()) for number in range(job.n_shards)]
    kept = [each for note in notes for each in note["kept"]]
    left_out = [each for note in notes for each in note["left_out"]]
    counts = Counter(reason for _, reason, _ in left_out)
    if not kept:
        said = ", ".join(f"{n} {reason}" for reason, n in counts.items())
        raise DataError(f"data {job.home}: none of {len(job.rows)} pictures is left ({said}); expected faces")
    rows = job.rows.select(np.array([row for row, _, _ in kept], dtype=np.int64))
    arrays: dict[str, Any] = {
        "label8": rows.label8.astype(np.int8),
        "label7": rows.label7.astype(np.int8),
        "votes8": rows.votes8,
        "names": blob([os.fsencode(name) for name in rows.named(job.home)]),
        "sha256": _hex([sha256 for _, sha256, _ in kept]),
        "pixels": _hex([pixels for _, _, pixels in kept]),
    }
    for name in ("usage", "sequence", "subject"):
        arrays[name] = blob([os.fsencode(text) for text in getattr(rows, name).tolist()])
    if rows.majority8 is not None:
        arrays["majority8"] = rows.majority8.astype(np.int8)
    if rows.own is not None:
        arrays["own"] = rows.own.astype(np.int32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(place / ROWS, buffer.getvalue())
    names = job.rows.named(job.home)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [("picture", "why", "details"), *((names[row], why, details) for row, why, details in left_out)]
    )
    write_bytes(place / LEFT_OUT, text.getvalue().encode(errors="surrogateescape"))
    shards = [
        {"file": _file(number), "n": len(note["kept"]), "bytes": note["bytes"]}
        for number, note in enumerate(notes)
        if note["kept"]
    ]
    parts = [digest_arrays(arrays), job.kind, job.cut, list(rows.own_names)]
    document = {"schema": SCHEMA, "key": job.key, "kind": job.kind, "source": rows.source, "n": len(kept)}
    document |= {"digest": digest_json(parts), "cut": job.cut, "own_names": list(rows.own_names)}
    write_json(place / SET, document | {"left_out": dict(counts), "shards": shards})


def _hex(digests: list[str]) -> Any:
    return np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(len(digests), 32)
