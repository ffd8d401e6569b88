"""A bundle that nobody vouches for: whatever it does to the process that tries it, ours says a line and goes on."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_helpers import THRESHOLDS, make_bundle, rewritten, tiny

from fer_edge.contract import bounds, kept
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.specs import DetectorSpec
from fer_edge.daemon import newcomer
from fer_edge.errors import BundleError, SchemaError
from fer_edge.trial import first_load
from fer_edge.trial.archive import unpack

WAIT_S = 120.0  # this machine may be busy


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def child(what: str, folder: Path, cpu_s: int = 30, wall_s: float = WAIT_S) -> dict[str, Any]:
    return first_load.tried(folder, cpu_s, wall_s, "trial_children", (what,))


def edge(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fer_edge.cli", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def with_nan(name: str = "float32") -> bytes:
    """The network with weights that are no numbers: still loads."""
    content = tiny(name)
    longest = max((part for part in content.split(b"\0") if len(part) >= 32), key=len)
    at = (content.index(longest) + 7) // 4 * 4
    return content[:at] + struct.pack("<4f", *[float("nan")] * 4) + content[at + 16 :]


# -- what it does


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("crash", r"variant planted ended the process that tried it \(SIGSEGV\)"),
        ("abort", r"\(SIGABRT\)"),
        ("eat", "MemoryError"),
        ("print", r"File too large"),
        ("lie", r"\(exit status 7\)"),
    ],
)
def test_one_that_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str) -> None:
    monkeypatch.setattr(bounds, "TRIAL_MEMORY_BYTES", 64 << 20)
    with pytest.raises(BundleError, match=said) as error:
        child(what, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.bound("TRIAL_CPU_S", "VERIFY_CPU_S")
def test_processor_time(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"SIGXCPU|SIGKILL"):
        child("spin", tmp_path, cpu_s=1)


@pytest.mark.bound("TRIAL_WALL_S", "VERIFY_WALL_S")
def test_time_on_the_clock(tmp_path: Path) -> None:
    before = time.monotonic()
    with pytest.raises(BundleError, match=r"no answer in 1.5 s; it is no sound bundle, or this machine is very busy"):
        child("sleep", tmp_path, wall_s=1.5)
    assert time.monotonic() - before < WAIT_S


@pytest.mark.bound("TRIAL_MEMORY_BYTES")
def test_memory(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "TRIAL_MEMORY_BYTES", 48 << 20)
    with pytest.raises(BundleError, match=r"takes more than 48 MB of memory|XNNPACK|SIGABRT|SIGSEGV"):
        first_load.tried(bundle.path, 60, WAIT_S)


@pytest.mark.bound("ANSWER_BYTES")
def test_what_it_prints_is_no_more_than_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ANSWER_BYTES", 8)
    with pytest.raises(BundleError, match="the interpreter ended"):  # what it said of its steps is beyond
        child("lie", tmp_path)


def test_it_gets_out_nowhere(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("kept")
    found = child("escape", tmp_path)
    if found["lacks"]:
        pytest.skip(found["lacks"])
    assert found["found"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "kept"


# -- bundles


def test_a_sound_one_is_tried_once(bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_load.check(bundle)
    assert len(list((cache / first_load.KIND).iterdir())) == 1
    monkeypatch.setattr(first_load, "tried", lambda *_, **__: pytest.fail("tried again"))
    first_load.check(bundle)


def test_another_interpreter_tries_it_anew(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 0

    def tried(*_: object, **__: object) -> dict[str, Any]:
        nonlocal n
        n += 1
        return {"lacks": ""}

    monkeypatch.setattr(first_load, "tried", tried)
    first_load.check(bundle)
    from fer_edge.classifier import runtime

    other = dataclasses.replace(runtime.find_runtime(), version="9.9.9")
    monkeypatch.setattr(runtime, "find_runtime", lambda: other)
    first_load.check(bundle)
    assert n == 2


def test_without_a_cache_it_is_tried_each_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", os.devnull)
    assert first_load.tried(bundle.path, 60, WAIT_S)["sha256"] == bundle.sha256
    kept.mark(first_load.KIND, "0" * 64, "x")
    assert not kept.is_marked(first_load.KIND, "0" * 64)


def test_weights_that_are_no_numbers(detector_model: bytes, tmp_path: Path) -> None:
    """Security fault S11: every probability was NaN, every face "anger"."""
    other = make_bundle(tmp_path / "b", detector_model, float32=with_nan())
    with pytest.raises(BundleError, match="variant float32 gives what is no number"):
        first_load.check(other)


@pytest.mark.parametrize("detector", [b"", b"\0" * 64, b"TFL3", tiny("float32")])
def test_a_detector_that_is_none(detector: bytes, tmp_path: Path) -> None:
    """Security fault S11: an empty file ended in a traceback."""
    other = make_bundle(tmp_path / "b", detector)
    with pytest.raises(BundleError, match=r"detector blazeface_short|takes no picture"):
        first_load.check(other)


@pytest.mark.parametrize(("kind", "files"), [("blazeface_short", ()), ("mtcnn", ("detector",))])
def test_a_detector_without_its_files(bundle: Bundle, kind: Any, files: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="files"):
        rewritten(bundle, tmp_path / "b", detector=DetectorSpec(kind, files, THRESHOLDS))


def mutated(seed: int) -> tuple[str, bytes]:
    """A network with one to five bytes changed."""
    rng, name = np.random.default_rng(seed), ("float32", "int8")[seed % 2]
    content = bytearray(tiny(name))
    for _ in range(int(rng.integers(1, 6))):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    return name, bytes(content)


@pytest.mark.parametrize("seed", [302, 2194])
def test_damaged_networks(detector_model: bytes, tmp_path: Path, seed: int) -> None:
    """Found by fuzz: one whose names are no text, and one that computes for ever (on x86-64)."""
    name, content = mutated(seed)
    other = make_bundle(tmp_path / "b", detector_model, **{name: content})
    said = ""
    try:
        first_load.tried(other.path, 3, WAIT_S)
    except BundleError as error:
        said = str(error)
    assert "\n" not in said
    assert said or seed != 302


def test_one_that_is_changed_meanwhile(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="was changed meanwhile"):
        first_load.tried(bundle.path, 60, WAIT_S, sha256="0" * 64)


# -- archives


def pack(path: Path, bundle: Bundle, *more: tuple[tarfile.TarInfo, bytes], below: str = "bundle") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(bundle.path, f"tiny-0.1.0/{below}")
        for entry, content in more:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize("below", ["bundle", ""])
def test_an_archive(bundle: Bundle, tmp_path: Path, below: str) -> None:
    path = pack(tmp_path / "b.tar.gz", bundle, (entry("tiny-0.1.0/wheels/x.whl"), b"x"), below=below)
    (tmp_path / "to").mkdir()
    assert open_bundle(unpack(path, tmp_path / "to")).sha256 == bundle.sha256
    assert not (tmp_path / "to" / "wheels").exists()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = edge("verify", "--untrusted", path, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout
    assert list(temporary.iterdir()) == []


BAD = {
    "a link": (entry("x/bundle/a", tarfile.SYMTYPE, "/etc/passwd"), b""),
    "a hard link": (entry("x/bundle/a", tarfile.LNKTYPE, "../../a"), b""),
    "a device": (entry("x/bundle/a", tarfile.CHRTYPE), b""),
    "outside": (entry("x/../../a"), b"x"),
    "absolute": (entry("/tmp/fer-edge-absolute"), b"x"),
    "twice": (entry("x/bundle/manifest.json"), b"x"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_archive_with(bundle: Bundle, tmp_path: Path, what: str) -> None:
    path, folder = pack(tmp_path / "b.tar.gz", bundle, BAD[what]), tmp_path / "deep" / "to"
    folder.mkdir(parents=True)
    with pytest.raises(BundleError, match=r"no plain file inside it|twice"):
        unpack(path, folder)
    assert not (tmp_path / "deep" / "a").exists()
    assert not any(found.is_symlink() for found in folder.rglob("*"))


@pytest.mark.bound("ARCHIVE_ENTRIES", "ARCHIVE_BYTES", "BUNDLE_FILE_BYTES")
@pytest.mark.parametrize("name", ["ARCHIVE_ENTRIES", "ARCHIVE_BYTES", "BUNDLE_FILE_BYTES"])
@pytest.mark.parametrize("more", [0, 1])
def test_how_much_an_archive_holds(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: int
) -> None:
    files = [path for path in bundle.path.rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    most = {"ARCHIVE_ENTRIES": len(files) + 1, "ARCHIVE_BYTES": sum(sizes), "BUNDLE_FILE_BYTES": max(sizes)}
    monkeypatch.setattr(bounds, name, most[name] - more)
    path = pack(tmp_path / "b.tar.gz", bundle)
    (tmp_path / "to").mkdir()
    if more:
        with pytest.raises(BundleError, match="expected at most"):
            unpack(path, tmp_path / "to")
    else:
        unpack(path, tmp_path / "to")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0" + b"\0" * 100])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(content)
    refused(edge("verify", "--untrusted", path), "expected one of `make bundle`")


def test_a_bomb_ends_with_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BUNDLE_FILE_BYTES", 1 << 20)
    path = tmp_path / "b.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        big = entry("x/bundle/manifest.json")
        big.size = 1 << 25
        archive.addfile(big, io.BytesIO(bytes(big.size)))
    (tmp_path / "to").mkdir()
    with pytest.raises(BundleError, match="expected at most"):
        unpack(path, tmp_path / "to")
    assert list((tmp_path / "to").rglob("*")) == []


# -- commands and the service


def test_verify_untrusted(bundle: Bundle, detector_model: bytes, tmp_path: Path) -> None:
    done = edge("verify", "--untrusted", bundle.path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [row["variant"] for row in found["variants"]] == ["float32", "int8"]
    assert found["tried"]["sha256"] == bundle.sha256
    other = make_bundle(tmp_path / "b", detector_model, float32=with_nan())
    refused(edge("verify", "--untrusted", other.path), "variant float32 gives what is no number")
    refused(edge("verify", "--untrusted", tmp_path / "none"), "no such folder or archive")
    refused(edge("verify", "--untrusted", bundle.path, "--bundle", bundle.path), "give one")


def run(bundle: Bundle, **environ: str) -> subprocess.CompletedProcess[str]:
    return edge("run", "--source", "synthetic://?n=3", "--bundle", bundle.path, **environ)


def test_the_service_goes_on_with_the_one_before(bundle: Bundle, detector_model: bytes, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "b", detector_model, float32=with_nan())
    service = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    refused(run(other, **service), "variant float32 gives what is no number")  # there is none before
    good = run(bundle, **service)
    assert good.returncode == 0, good.stderr
    refused(run(other), "variant float32 gives what is no number")  # a person has named this one
    done = run(other, **service)
    assert done.returncode == 0, done.stderr
    assert f"do not use it; going on with the one before: {bundle.path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reload_tries_a_new_one(
    bundle: Bundle, detector_model: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def look(path: Path) -> str:
        caplog.clear()
        found = newcomer.Newcomer(bundle)
        with caplog.at_level("WARNING"):
            found.look(str(path))
            assert found._thread is not None
            found._thread.join(WAIT_S)
        return caplog.text

    assert look(bundle.path) == ""
    bad = make_bundle(tmp_path / "bad", detector_model, float32=with_nan())
    assert "no number; it is damaged: do not use it; going on with the bundle in use" in look(bad.path)
    good = rewritten(bundle, tmp_path / "good", version="0.2.0")
    assert f"bundle {good.path} is new and was tried; it needs a restart" in look(good.path)
    assert "going on with the bundle in use" in look(tmp_path / "none")
