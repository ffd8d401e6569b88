"""Each bound of files, photos, settings and the machine: as much as it says is taken, one more is not."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from fer_edge import config as configuration
from fer_edge.board import commands, identify
from fer_edge.commands import verify as verify_command
from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.doctor import child, pack
from fer_edge.errors import BundleError, ConfigError, ImageError, UsageError
from fer_edge.pictures import photo, png
from fer_edge.pictures.photo import prepare, read_photo
from fer_edge.profiler import accuracy
from fer_edge.profiler.power import meter
from fer_edge.program import logs, threads
from fer_edge.sinks.csv_file import CsvSink, columns, row_of
from fer_edge.sinks.web import connection, policy
from fer_edge.tracking import zones

MORE = pytest.mark.parametrize("more", [0, 1])


# -- files


@pytest.mark.bound("CONFIG_BYTES")
@MORE
def test_a_configuration(tmp_path: Path, more: int) -> None:
    path = tmp_path / "config.toml"
    path.write_text("#" * (bounds.CONFIG_BYTES - 1 + more) + "\n")
    if more:
        with pytest.raises(ConfigError, match="more than 1000000 bytes"):
            configuration.load(path, {})
    else:
        configuration.load(path, {})


@pytest.mark.bound("CSV_ROW_BYTES")
@MORE
def test_an_unfinished_row(tmp_path: Path, more: int) -> None:
    """A torn row of so much is cut off; a longer one is none of ours, and stays."""
    path, head = tmp_path / "faces.csv", row_of(columns(EMOTIONS8))
    content = head + b"x" * (bounds.CSV_ROW_BYTES - 1 + more)
    path.write_bytes(content)
    if more:
        with pytest.raises(UsageError, match="its last row has more than 65536 bytes"):
            CsvSink(str(path), EMOTIONS8)
        assert path.read_bytes() == content
    else:
        CsvSink(str(path), EMOTIONS8).close()
        assert path.read_bytes() == head


@pytest.mark.bound("METER_BYTES")
def test_a_meters_file(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    with path.open("wb") as file:
        file.truncate(bounds.METER_BYTES + 1)
    with pytest.raises(UsageError, match="expected a meter's CSV below 256 MiB"):
        meter.read_meter(path)


@pytest.mark.bound("SYSTEM_FILE_BYTES")
def test_a_file_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "_MAX_BYTES", 1 << 17)
    path = tmp_path / "status"
    path.write_bytes(b"x" * (1 << 17))
    assert len(identify.read_text(path)) == 1 << 17
    path.write_bytes(b"x" * (1 << 22))
    assert len(identify.read_text(path)) <= (1 << 17) + (1 << 16)


@pytest.mark.bound("REPORT_FILE_BYTES")
def test_a_file_in_doctors_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_MAX_FILE", 100)
    monkeypatch.setattr(pack, "FILES", ("etc/os-release",))
    monkeypatch.setattr(pack, "COMMANDS", ())
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("x" * 101)
    assert [text.count("x") for text in pack._tree(tmp_path, commands.run)] == [100]


@pytest.mark.bound("GOLDEN_ARRAY_BYTES", "DATA_ARRAY_BYTES")
def test_arrays(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = bundle.manifest.variants[:1]
    most = verify_command._golden_arrays(bundle, list(variant))["crops"].nbytes
    monkeypatch.setattr(verify_command, "_LARGEST_BYTES", most)
    verify_command._golden_arrays(bundle, list(variant))
    monkeypatch.setattr(verify_command, "_LARGEST_BYTES", most - 1)
    with pytest.raises(BundleError, match="unpacked, expected at most"):
        verify_command._golden_arrays(bundle, list(variant))
    path = tmp_path / "f.npz"
    np.savez(path, images=np.zeros((4, 48, 48), np.uint8), ferplus_votes=np.ones((4, 10), np.int8),
             ferplus_classes=np.array(["x"] * 10), usage=np.array(["PublicTest"] * 4))  # fmt: skip
    monkeypatch.setattr(accuracy, "_LARGEST_BYTES", 4 * 48 * 48)
    accuracy._npz(path)
    monkeypatch.setattr(accuracy, "_LARGEST_BYTES", 4 * 48 * 48 - 1)
    with pytest.raises(UsageError, match="unpacked, expected at most"):
        accuracy._npz(path)


# -- photos


@pytest.mark.bound("PHOTO_BYTES")
def test_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    with path.open("wb") as file:
        file.truncate(bounds.PHOTO_BYTES + 1)
    with pytest.raises(ImageError, match=f"expected at most {bounds.PHOTO_BYTES}"):
        read_photo(path)
    monkeypatch.setattr(photo, "MAX_BYTES", 100)
    path.write_bytes(bytes(100))
    with pytest.raises(ImageError, match="cannot be read as a picture"):
        read_photo(path)


@pytest.mark.bound("PREPARED_PIXELS", "PREPARED_SIDE_PX")
def test_what_is_searched() -> None:
    wide = prepare(np.zeros((600, 50_000, 3), np.uint8), 600).image.shape
    assert wide[0] * wide[1] <= bounds.PREPARED_PIXELS * 1.01
    long = prepare(np.zeros((330, bounds.PREPARED_SIDE_PX + 1, 3), np.uint8), 330).image.shape
    assert long[1] <= bounds.PREPARED_SIDE_PX
    as_it_is = prepare(np.zeros((330, bounds.PREPARED_SIDE_PX, 3), np.uint8), 330).image.shape
    assert as_it_is == (330, bounds.PREPARED_SIDE_PX, 3)


@pytest.mark.bound("PNG_DATA_BYTES")
@MORE
def test_what_is_unpacked_of_a_damaged_png(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    def chunk(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    rows = b"".join(b"\0" + bytes(30) for _ in range(10))
    content = png.PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    monkeypatch.setattr(png, "MOST_BYTES", 310 - more)
    assert (png.salvage(content) is None) is bool(more)


# -- settings


@pytest.mark.bound("ZONES", "ZONE_POINTS")
def test_zones() -> None:
    square = "0.1:0.1 0.2:0.1 0.2:0.2"
    many = [f"z{i}={square}" for i in range(bounds.ZONES + 1)]
    assert zones._problem(many[:-1]) == ""
    assert f"expected at most {bounds.ZONES}" in zones._problem(many)
    corners = " ".join(f"{i / 100}:0.5" for i in range(bounds.ZONE_POINTS))
    zones.parse_zone(f"z={corners}")
    with pytest.raises(ValueError, match="points"):
        zones.parse_zone(f"z={corners} 0.9:0.9")


@pytest.mark.bound("ORIGINS")
def test_whose_pages_may_show_ours() -> None:
    many = tuple(f"https://h{i}.example" for i in range(bounds.ORIGINS + 1))
    policy.checked_origins(many[:-1])
    with pytest.raises(UsageError, match=f"expected at most {bounds.ORIGINS}"):
        policy.checked_origins(many)


# -- the page


@pytest.mark.bound("LINGER_S", "LINGER_BYTES")
@pytest.mark.parametrize("name", ["LINGER_S", "LINGER_BYTES"])
def test_a_refused_client(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is read away for so long and so much: neither a silent one nor one that floods holds its place."""
    monkeypatch.setattr(bounds, name, 0.2 if name == "LINGER_S" else 100_000)
    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def flood() -> None:
        while not ended.is_set():
            try:
                theirs.send(bytes(65_536))
            except OSError:
                return

    sender = threading.Thread(target=flood if name == "LINGER_BYTES" else ended.wait)
    with ours, theirs:
        sender.start()
        before = time.monotonic()
        connection.linger(ours)
        if name == "LINGER_S":
            assert time.monotonic() - before >= 0.2
        ours.shutdown(socket.SHUT_RDWR)
        ended.set()
        sender.join(30)
        assert not sender.is_alive()


# -- the machine


@pytest.mark.bound("COMMAND_S", "DOCTOR_S")
def test_programs_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_S", 0.1)
    with pytest.raises(TimeoutError, match=r"sleep did not end within 0\.1 s"):
        commands.run("sleep", "60")
    monkeypatch.setattr(child, "TIMEOUT_S", 0.01)
    assert child.ask("interpreter")[1] == "no answer in 0.01 s"


@pytest.mark.bound("LOG_KINDS")
def test_messages_remembered() -> None:
    limit = logs.RateLimit(1e9)

    def passes(text: str) -> bool:
        return limit.filter(logging.LogRecord("x", logging.INFO, "", 0, text, (), None))

    def name(n: int) -> str:
        return "".join(chr(ord("a") + int(digit)) for digit in str(n))

    assert passes("first")
    assert not passes("first")
    for n in range(bounds.LOG_KINDS):
        passes(name(n))
    assert len(limit._seen) == bounds.LOG_KINDS
    assert passes("first")  # forgotten: it is said again


@pytest.mark.bound("THREAD_ERROR_KINDS")
def test_errors_of_threads_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    said: set[str] = set()
    monkeypatch.setattr(threads, "_said", said)
    for n in range(bounds.THREAD_ERROR_KINDS + 1):
        threads.met("tested", ValueError(n))
    assert len(said) == bounds.THREAD_ERROR_KINDS
