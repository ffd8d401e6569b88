"""A set in shards holds the pictures of its folder; a kill, a full disk and damage cost what they must and no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.contract import bounds
from fer_host import cli
from fer_host.data import sharding, sharding_job, shards
from fer_host.data.faces import FaceData
from fer_host.data.load import data_digest, load_data, open_data
from fer_host.data.sharding import make_shards
from fer_host.data.sharding_job import job_of
from fer_host.data.shards import FaceShards, load_shards
from fer_host.data.streamed import Streamed
from fer_host.errors import DataError, HostError

CUT = {"detector": "d", "crop_hw": [8, 8]}
NAMES = ("anger", "happiness", "sadness")


def folder_of_faces(root: Path, n: int = 200, side: int = 40) -> Path:
    """Small squares by split and emotion; the last picture's bytes are the first's."""
    random = np.random.default_rng(0)
    for i in range(n):
        place = root / ("test" if i % 5 == 0 else "train") / NAMES[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        face = random.integers(0, 60, (side, side, 3)) + 60 * (i % 3)
        assert cv2.imwrite(str(place / f"{i:04d}.jpg"), face.astype(np.uint8))
    (root / "train" / "anger" / "9999.jpg").write_bytes((root / "train" / "anger" / "0003.jpg").read_bytes())
    return root


@pytest.fixture
def few_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding_job, "_LEAST", 16)


def sharded(data: Path, out: Path) -> Path:
    make_shards(job_of(data, CUT, lambda: pytest.fail("crops are not cut")), out, workers=2)
    return out


def columns(data: FaceData) -> dict[str, list[object]]:
    return {name: getattr(data, name).tolist() for name in ("label8", "label7", "usage", "sequence", "duplicate")}


@pytest.mark.usefixtures("few_a_shard")
def test_shards_hold_the_folder(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces")
    out = sharded(data, tmp_path / "out")
    assert sorted(path.suffix for path in out.iterdir()).count(".array_record") == 13
    assert not list(tmp_path.glob("*.unfinished"))
    for color, px in (("gray", 24), ("rgb", 40)):
        whole = load_data(data, size_px=px, color=color, quiet=True)  # type: ignore[arg-type]
        streams = load_data(out, size_px=px, color=color, quiet=True)  # type: ignore[arg-type]
        assert isinstance(whole.images, np.ndarray)
        assert isinstance(streams.images, Streamed)
        assert streams.images.shape == whole.images.shape
        np.testing.assert_array_equal(streams.images[np.arange(len(whole))], whole.images)
        assert columns(streams) == columns(whole)
        assert len(set(whole.sequence.tolist())) == 200  # of 201: one picture is there twice
    rows = open_data(out)
    assert isinstance(rows, FaceShards)
    assert rows.named(data)[0] == "test/anger/0000.jpg"
    chosen = rows.select(rows.usage == "Test")
    face = chosen.open(1, None)
    assert face is not None
    np.testing.assert_array_equal(face, open_data(data).select(open_data(data).usage == "Test").open(1, None))  # type: ignore[union-attr]


@pytest.mark.usefixtures("few_a_shard")
def test_the_digest_covers_every_byte(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 20)
    first = data_digest(sharded(data, tmp_path / "a"))
    assert first == data_digest(sharded(data, tmp_path / "b"))
    path = data / "train" / "anger" / "0003.jpg"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert first != data_digest(sharded(data, tmp_path / "c"))


def test_a_tables_digest_covers_its_pictures(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 6)
    table = tmp_path / "t.csv"
    table.write_text("image,label\n" + "".join(f"faces/train/anger/{n}.jpg,calm\n" for n in ("0003", "9999")))
    first = data_digest(table)
    assert first == data_digest(table)
    path = data / "train" / "anger" / "0003.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert first != data_digest(table)


@pytest.mark.usefixtures("few_a_shard")
def test_unreadable_pictures_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder_of_faces(tmp_path / "faces", 40)
    bad = data / "train" / "anger" / "0003.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    assert cli.main(["shard", str(data), str(tmp_path / "out"), "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "40 pictures in" in said
    assert "1 left out, cannot be read" in said
    assert "train/anger/0003.jpg,cannot be read,photo" in (tmp_path / "out" / "left-out.csv").read_text()


@pytest.mark.usefixtures("few_a_shard")
def test_a_damaged_shard_costs_its_own_pictures(tmp_path: Path) -> None:
    out = sharded(folder_of_faces(tmp_path / "faces", 60), tmp_path / "out")
    first, second = out / "shard-00000.array_record", out / "shard-00001.array_record"
    content = bytearray(first.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 300] ^= 255
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-100])
    (out / "shard-00002.array_record").unlink()
    images = load_data(out, size_px=24, quiet=True).images
    assert isinstance(images, Streamed)
    problems: list[str] = []
    used = [images.readable(i, problems)[1] for i in range(len(images))]
    assert used[1:16] == list(range(1, 16))  # a block of one picture is damaged, not its neighbors
    assert used[48:] == list(range(48, 61))
    assert set(used) <= set(range(1, 16)) | set(range(48, 61))
    assert used == [images.readable(i, [])[1] for i in range(len(images))]  # always the same take the place
    text = "\n".join(problems)
    assert "shard-00000.array_record, record 0 (test/anger/0000.jpg): damaged" in text
    assert "expected" in text
    assert "shard-00002.array_record, record 0" in text
    with pytest.raises(DataError, match="shard-00000"):
        images[0]


def test_what_is_no_set_of_ours_is_refused(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 20)
    out = sharded(data, tmp_path / "out")
    document = (out / "set.json").read_text()
    for old, new, said in (
        ("fer-edge/shards/1", "fer-edge/shards/2", "expected fer-edge/shards/1"),
        ('"n": 21', '"n": 20', "do not belong together"),
        ('"shard-00000.array_record"', '"../x"', "does not read"),
        ("{", "", "does not read"),
    ):
        assert old in document
        (out / "set.json").write_text(document.replace(old, new, 1))
        with pytest.raises(DataError, match=said):
            load_shards(out)
    (out / "set.json").write_text(document)
    (out / "rows.npz").write_bytes((out / "rows.npz").read_bytes()[:100])
    with pytest.raises(DataError, match="make the shards again"):
        load_shards(out)


@pytest.mark.bound("SHARD_ROWS_BYTES")
def test_a_column_beyond_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = sharded(folder_of_faces(tmp_path / "faces", 20), tmp_path / "out")
    assert bounds.SHARD_ROWS_BYTES == shards._LARGEST_BYTES
    monkeypatch.setattr(shards, "_LARGEST_BYTES", 21 * 32)
    assert len(load_shards(out)) == 21
    monkeypatch.setattr(shards, "_LARGEST_BYTES", 21 * 32 - 1)
    with pytest.raises(DataError, match="unpacked, expected at most"):
        load_shards(out)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 20)
    out = tmp_path / "out"
    out.mkdir()
    (out / "shard-00000.json").write_text("mine")
    with pytest.raises(DataError, match="expected a new name"):
        sharded(data, out)
    other = tmp_path / "other.unfinished"
    other.mkdir()
    (other / "shard-00000.json").write_text("mine")
    with pytest.raises(DataError, match="was not made here"):
        sharded(data, tmp_path / "other")
    assert [path.read_text() for path in (out / "shard-00000.json", other / "shard-00000.json")] == ["mine", "mine"]
    assert os.listdir(out) == os.listdir(other) == ["shard-00000.json"]


@pytest.mark.usefixtures("few_a_shard")
def test_a_run_on_other_data_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder_of_faces(tmp_path / "faces", 60)
    with monkeypatch.context() as context:
        context.setattr(sharding, "_describe", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sharded(data, tmp_path / "out")
    place = tmp_path / "out.unfinished"
    (place / "a neighbour").write_text("mine")
    made = {path: path.stat().st_ino for path in place.glob("shard-*")}
    assert len(made) == 8
    (data / "train" / "anger" / "0003.jpg").unlink()
    job = job_of(data, CUT, lambda: pytest.fail("crops are not cut"))
    with sharding._held(place, job.key):
        assert not list(place.glob("shard-*"))
    assert (place / "a neighbour").read_text() == "mine"


KILLED = """
import sys
from pathlib import Path
from fer_host.data import sharding_job
from fer_host.data.sharding import make_shards
from fer_host.data.sharding_job import job_of
sharding_job._LEAST = 16
print("ready", flush=True)
make_shards(job_of(Path(sys.argv[1]), {}, None), Path(sys.argv[2]), workers=2)
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 400, 120)
    out, place = tmp_path / "out", tmp_path / "out.unfinished"
    command = [sys.executable, "-c", KILLED, str(data), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(place.glob("shard-*.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_ino for path in place.glob("shard-*.json")}
    assert not out.exists()
    assert 0 < len(before) < 26
    assert subprocess.run(command, capture_output=True, check=False, timeout=600).returncode == 0
    assert not place.exists()
    assert data_digest(out) == data_digest(sharded(data, tmp_path / "at once"))
    assert not [name for name in os.listdir(out) if name.endswith((".tmp", ".lock", "job.json"))]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.usefixtures("few_a_shard")
def test_a_full_disk_is_one_line(tmp_path: Path, full_disk: Path) -> None:
    data = folder_of_faces(tmp_path / "faces", 150, 100)
    with pytest.raises(HostError, match="no space left") as caught:
        sharded(data, full_disk / "out")
    assert "\n" not in str(caught.value)
    place = full_disk / "out.unfinished"
    assert not (full_disk / "out").exists()
    assert not list(place.glob(".*.tmp"))
    whole = [json.loads(path.read_text()) for path in place.glob("shard-*.json")]
    assert whole
    assert all(len(note["kept"]) == 16 for note in whole)
    subprocess.run(["mount", "-o", "remount,size=20m", str(full_disk)], check=True)
    assert data_digest(sharded(data, full_disk / "out")) == data_digest(sharded(data, tmp_path / "out"))


def test_faces_are_cut_out_of_photos_once(tmp_path: Path) -> None:
    for i in range(8):
        photo = np.full((60, 80, 3), 10 * i, dtype=np.uint8)
        photo[:, :40] = 200
        place = tmp_path / "photos" / NAMES[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(place / f"{i}.png"), photo)

    def crop(image: np.ndarray) -> np.ndarray | None:  # type: ignore[type-arg]
        return None if image[0, -1, 0] == 30 else image[10:18, 50:58]

    job = job_of(tmp_path / "photos", CUT, lambda: crop)
    document = make_shards(job, tmp_path / "out", workers=1)
    assert document.left_out == {"no face found": 1}
    assert "happiness/3.png,no face found," in (tmp_path / "out" / "left-out.csv").read_text()
    data = load_data(tmp_path / "out", size_px=8, cut=CUT, quiet=True)
    direct = load_data(tmp_path / "photos", crop=crop, size_px=8, quiet=True)
    np.testing.assert_array_equal(data.images[np.arange(7)], direct.images)
    with pytest.raises(DataError, match="fer-host shard DATA OUT --model"):
        load_data(tmp_path / "out", size_px=8, cut={**CUT, "crop_hw": [9, 9]}, quiet=True)


def test_pixels_are_not_sharded(tmp_path: Path) -> None:
    pixels = " ".join(["7"] * 48 * 48)
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n")
    with pytest.raises(DataError, match="holds no picture files"):
        job_of(tmp_path, CUT, lambda: pytest.fail("not cut"))


def test_one_run_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "_LOCK_S", 0.0)
    job = replace(job_of(folder_of_faces(tmp_path / "faces", 20), CUT, lambda: pytest.fail("not cut")), key="k")
    with sharding._held(tmp_path / "out.unfinished", "k"), pytest.raises(DataError, match="another fer-host"):
        make_shards(job, tmp_path / "out")
