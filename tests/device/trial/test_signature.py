"""``verify --untrusted ARCHIVE --require-signature FILE``: with OpenSSH's own tool, as install.sh checks it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.contract import bounds
from fer_edge.contract.bundle import Bundle
from fer_edge.errors import BundleError
from fer_edge.trial.archive import listed

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen (apt install openssh-client)")
TOP = "tiny-0.1.0"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    return folder


def files_of(bundle: Bundle) -> Files:
    found = {f"bundle/{p.relative_to(bundle.path)}": p.read_bytes() for p in bundle.path.rglob("*") if p.is_file()}
    return {**found, "install.sh": b"exit 0\n", "wheels/x.whl": b"a wheel"}


def with_list(files: Files) -> Files:
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    return {**files, "SHA256SUMS": "".join(lines).encode()}


def signed(files: Files, key: Path, namespace: str = "fer-edge") -> Files:
    line = ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace]
    done = subprocess.run(line, input=files["SHA256SUMS"], capture_output=True, check=True)
    return {**files, "SHA256SUMS.sig": done.stdout}


def pack(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def verify(archive: Path, *options: object, **environ: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fer_edge.cli", "verify", "--untrusted", str(archive), *map(str, options)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **environ})


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_signed_archive(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar.gz", signed(with_list(files_of(bundle)), keys / "ours"))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = verify(path, "--require-signature", keys / "ours.pub", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert 'b.tar.gz: Good "fer-edge" signature for fer-edge with ED25519 key SHA256:' in done.stdout
    assert "tried in a process of its own" in done.stdout
    assert list(temporary.iterdir()) == []
    signers = tmp_path / "signers"
    signers.write_text(f"fer-edge {(keys / 'other.pub').read_text()}fer-edge {(keys / 'ours.pub').read_text()}")
    assert verify(path, "--require-signature", signers, "--json").returncode == 0
    assert verify(path).returncode == 0  # who asks for none gets none checked


def test_another_key(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar.gz", signed(with_list(files_of(bundle)), keys / "ours"))
    refused(verify(path, "--require-signature", keys / "other.pub"), "no key of", "ask who packed it")
    signers = tmp_path / "signers"
    signers.write_text(f'fer-edge valid-before="20200101" {(keys / "ours.pub").read_text()}')
    refused(verify(path, "--require-signature", signers), "no key of", "expired")
    path = pack(tmp_path / "c.tar.gz", signed(with_list(files_of(bundle)), keys / "ours", "file"))
    refused(verify(path, "--require-signature", keys / "ours.pub"), "no key of")


CHANGES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "no signature": (lambda f: {k: v for k, v in f.items() if k != "SHA256SUMS.sig"}, "is not signed"),
    "no list": (lambda f: {k: v for k, v in f.items() if k != "SHA256SUMS"}, "is not signed"),
    "a changed file": (lambda f: {**f, "install.sh": b"rm -r /\n"}, "install.sh was changed"),
    "a changed wheel": (lambda f: {**f, "wheels/x.whl": b"another"}, "wheels/x.whl was changed"),
    "another network": (lambda f: {**f, "bundle/manifest.json": b"{}"}, "bundle/manifest.json was changed"),
    "one more": (lambda f: {**f, "wheels/y.whl": b"y"}, "wheels/y.whl is not listed"),
    "one less": (lambda f: {k: v for k, v in f.items() if k != "wheels/x.whl"}, "wheels/x.whl is not in it"),
    "another list": (lambda f: with_list({**f, "install.sh": b"rm"}) | {"SHA256SUMS.sig": f["SHA256SUMS.sig"]}, ""),
    "text for a signature": (lambda f: {**f, "SHA256SUMS.sig": b"no signature"}, "no key of"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_after_it_was_signed(what: str, bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    change, said = CHANGES[what]
    files = signed(with_list(files_of(bundle)), keys / "ours")
    refused(verify(pack(tmp_path / "b.tar.gz", change(files)), "--require-signature", keys / "ours.pub"), said)


def test_what_was_signed_is_what_is_tried(bundle: Bundle, tmp_path: Path) -> None:
    """The archive may be another one when it is unpacked: the digest goes along (``first_load.tried``)."""
    _, _, digest = listed(pack(tmp_path / "b.tar.gz", {**with_list(files_of(bundle)), "SHA256SUMS.sig": b"x"}))
    assert digest == bundle.sha256


def test_options_that_do_not_fit(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar.gz", files_of(bundle))
    refused(verify(path, "--require-signature", tmp_path / "none"), "none: No such file")
    refused(verify(bundle.path, "--require-signature", keys / "ours.pub"), "is no archive")
    (tmp_path / "bin").mkdir()
    refused(verify(path, "--require-signature", keys / "ours.pub", PATH=str(tmp_path / "bin")), "no ssh-keygen here")
    line = [sys.executable, "-m", "fer_edge.cli", "verify", "--require-signature", str(keys / "ours.pub")]
    refused(subprocess.run(line, capture_output=True, text=True, check=False), "give --untrusted ARCHIVE with it")
    (tmp_path / "c.tar.gz").write_bytes(b"no archive")
    refused(verify(tmp_path / "c.tar.gz", "--require-signature", keys / "ours.pub"), "expected one of `make bundle`")


@pytest.mark.bound("LISTED_BYTES")
@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig"])
@pytest.mark.parametrize("more", [0, 1])
def test_how_much_is_read_of_a_list(bundle: Bundle, tmp_path: Path, name: str, more: int) -> None:
    files = {**with_list(files_of(bundle)), "SHA256SUMS.sig": b"x"}
    fill = bounds.LISTED_BYTES + more - len(files[name])
    files[name] += (b"\n" if name == "SHA256SUMS" else b"x") * fill
    path = pack(tmp_path / "b.tar.gz", files)
    too_much = f"{name} has {bounds.LISTED_BYTES + 1} bytes, expected at most"
    if more or name == "SHA256SUMS":  # a list with empty lines is none
        with pytest.raises(BundleError, match=too_much if more else "is no list of digests"):
            listed(path)
    else:
        assert len(listed(path)[1]) == bounds.LISTED_BYTES


@pytest.mark.bound("SIGNERS_BYTES")
def test_how_many_signers(bundle: Bundle, keys: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "b.tar.gz", signed(with_list(files_of(bundle)), keys / "ours"))
    signers, line = tmp_path / "signers", f"fer-edge {(keys / 'ours.pub').read_text()}".encode()
    signers.write_bytes(line + b"\n" * (bounds.SIGNERS_BYTES - len(line)))
    assert verify(path, "--require-signature", signers).returncode == 0
    signers.write_bytes(line + b"\n" * (bounds.SIGNERS_BYTES + 1 - len(line)))
    refused(verify(path, "--require-signature", signers), "more than 1000000 bytes")
