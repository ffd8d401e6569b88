"""What was there before ``install.sh`` came stays: the version at work, and every file that is not ours."""

from __future__ import annotations

import dataclasses
import io
import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from install_helpers import (
    PYTHON,
    edge,
    environment,
    install,
    namespace,
    refused,
    replace,
    sign,
    tree,
)

from fer_edge.contract.bundle import encode_file, open_bundle, write_bundle

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="install.sh is for Linux")


def spoil_golden(folder: Path) -> None:
    """A sound bundle, rightly signed, whose expected outputs this machine does not give."""
    bundle = open_bundle(folder / "bundle")
    role = bundle.manifest.golden.file
    with np.load(io.BytesIO(bundle.read(role)), allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    name = f"probabilities/{bundle.manifest.default_variant}"
    values[name] = np.roll(values[name], 1, axis=1)
    changed = io.BytesIO()
    np.savez(changed, **values)
    entry = bundle.manifest.files[role]
    new, content = encode_file(entry.path, changed.getvalue(), "none")
    stored = {other: (bundle.path / item.path).read_bytes() for other, item in bundle.manifest.files.items()}
    files = {**bundle.manifest.files, role: new}
    shutil.rmtree(folder / "bundle")
    write_bundle(folder / "bundle", dataclasses.replace(bundle.manifest, files=files), {**stored, role: content})


def test_a_version_that_does_not_verify_leaves_the_former_at_work(installed: Path, copy: Path) -> None:
    before = tree(installed / "versions")
    spoil_golden(copy)
    sign(copy)
    refused(install(copy, installed), "does not verify", "stays in use")
    after = tree(installed / "versions")
    assert {name: about for name, about in after.items() if name != "."} == {
        name: about for name, about in before.items() if name != "."
    }
    assert edge(installed, "verify").returncode == 0


@pytest.mark.parametrize("name", ["bundle/manifest.json", "wheels", "SHA256SUMS", "fer_edge"])
def test_a_damaged_archive_leaves_the_former_at_work(installed: Path, copy: Path, name: str) -> None:
    path = next(
        path for path in sorted(copy.rglob("*")) if path.is_file() and str(path.relative_to(copy)).startswith(name)
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))
    before = tree(installed)
    refused(install(copy, installed), "copy and unpack the archive again")
    assert tree(installed) == before


def test_a_first_installation_that_fails_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    (copy / "wheels" / next(path.name for path in (copy / "wheels").iterdir() if "litert" in path.name)).unlink()
    sign(copy)
    refused(install(copy, tmp_path / "prefix"), "packages: pip failed", "nothing was installed")
    assert not (tmp_path / "prefix").exists()


def test_killed_in_the_middle_then_upgraded_then_rolled_back(installed: Path, unpacked: Path, copy: Path) -> None:
    former = os.readlink(installed / "current")
    replace(copy / "LICENSES.txt", b"another release\n")
    sign(copy)
    command = [*namespace("--net"), "sh", str(copy / "install.sh"), "--prefix", str(installed), "--python", PYTHON]
    with subprocess.Popen(command, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        pattern = "versions/*/venv/lib/python3*/site-packages/ai_edge_litert"
        while len(list(installed.glob(pattern))) < 2:  # pip is writing the new one
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert len([path for path in (installed / "versions").iterdir() if not (path / "complete").exists()]) == 1
    assert os.readlink(installed / "current") == former
    assert edge(installed, "verify").returncode == 0

    done = install(unpacked, installed)
    assert "nothing to do" in done.stdout, done.stderr
    assert [path for path in (installed / "versions").iterdir() if not (path / "complete").exists()] == []

    done = install(copy, installed)
    assert done.returncode == 0, done.stderr
    latter = os.readlink(installed / "current")
    assert latter != former
    assert os.readlink(installed / "previous") == former
    assert {f"versions/{path.name}" for path in (installed / "versions").iterdir()} == {former, latter}
    assert edge(installed, "verify").returncode == 0

    assert install(copy, installed, "--rollback").returncode == 0
    assert os.readlink(installed / "current") == former
    assert edge(installed, "verify").returncode == 0


def test_a_damaged_installation_is_installed_again(installed: Path, unpacked: Path) -> None:
    manifest = installed / "current" / "bundle" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    assert edge(installed, "info").returncode == 2
    done = install(unpacked, installed)
    assert done.returncode == 0, done.stderr
    assert "installing it again" in done.stdout
    assert edge(installed, "verify").returncode == 0


# below the prefix, the user's cache and the user's state: what others put beside what is ours
NEIGHBOURS = (
    "prefix/notes.txt",
    "prefix/versions/my-notes/a.txt",
    "prefix/versions/my-0.1.0-notes/complete",
    "prefix/versions/readme.txt",
    "prefix/versions/{version}/mine.txt",
    "prefix/bin/another-tool",
    "cache/fer-edge/other.bin",
    "cache/fer-edge/decoded/not-ours.txt",
    "cache/another/decoded/" + "0" * 64,
    "state/fer-edge/mine.json",
)
OURS = (
    *("cache/fer-edge/decoded/" + "0" * 64, "cache/fer-edge/tried/" + "0" * 64),
    *("state/fer-edge/web-token", "state/fer-edge/tune.json"),
)


def test_a_neighbours_file_survives_everything(unpacked: Path, copy: Path, tmp_path: Path) -> None:
    """Security fault S7: the second installation removed versions/my-notes, the end the whole of bin/ and the cache."""
    prefix = tmp_path / "prefix"
    homes = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HOME": str(tmp_path),
    }
    done = install(unpacked, prefix, **homes)
    assert done.returncode == 0, done.stderr
    version = Path(os.readlink(prefix / "current")).name
    neighbours = [tmp_path / name.format(version=version) for name in NEIGHBOURS]
    for path in [*neighbours, *(tmp_path / name for name in OURS)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    def all_there(after: str) -> None:
        gone = [str(path) for path in neighbours if not path.is_file() or path.read_text() != path.name]
        assert gone == [], after

    all_there("nothing")
    for number in (1, 2):  # the second one drops the first version
        replace(copy / "LICENSES.txt", f"release {number}\n".encode())
        sign(copy)
        done = install(copy, prefix, **homes)
        assert done.returncode == 0, done.stderr
        all_there(f"update {number}")
    assert sorted(path.name for path in (prefix / "versions" / version).iterdir()) == ["mine.txt"]
    assert install(copy, prefix, "--rollback", **homes).returncode == 0
    all_there("rollback")
    done = install(copy, prefix, "--uninstall", **homes)
    assert done.returncode == 0, done.stderr
    all_there("uninstall")
    assert [name for name in OURS if (tmp_path / name).exists()] == []
    left = {str(path.relative_to(tmp_path)) for path in prefix.rglob("*") if not path.is_dir() or path.is_symlink()}
    expected = {name.format(version=version) for name in NEIGHBOURS if name.startswith("prefix/")}
    assert left == expected | {"prefix/.fer-edge"}  # which lets a later installation use the two folders again
    assert install(unpacked, prefix, **homes).returncode == 0
    all_there("a new installation")
    (prefix / "bin/fer-edge").unlink()
    (prefix / "bin/fer-edge").write_text("somebody's\n")
    refused(install(copy, prefix, **homes), "bin/fer-edge: is not of fer-edge")
    assert (prefix / "bin/fer-edge").read_text() == "somebody's\n"
