"""``fer-host pack``: which wheels are refused, and what an archive's bytes depend on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from fer_edge.contract.bundle import open_bundle
from fer_host.errors import PackError, ToolError
from fer_host.pack import pack, wheels
from fer_host.pack.targets import TARGETS, find_target

BOOKWORM = TARGETS["pi-bookworm"]
TAGS = {
    "numpy-1.26.4": "cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64",
    "ai_edge_litert-2.3.0": "cp311-cp311-manylinux_2_27_aarch64",
    "opencv_python_headless-4.11.0.86": "cp37-abi3-manylinux_2_17_aarch64",
    "tqdm-4.70.1": "py3-none-any",
}
NEEDS = {"ai_edge_litert-2.3.0": ["numpy>=1.23.2", "tqdm"], "fer_edge-0.1.0": ["numpy>=1.24"]}
EXTRAS = {"fer_edge-0.1.0": ['ai-edge-litert>=2.1; extra == "litert"', 'opencv-python-headless; extra == "opencv"']}


def write_wheel(folder: Path, stem: str, tag: str, needs: list[str]) -> Path:
    """An installable wheel with nothing in it."""
    folder.mkdir(exist_ok=True)
    name, version = stem.split("-")
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    lines += [f"Provides-Extra: {extra}" for extra in ("litert", "mqtt", "opencv") if name == "fer_edge"]
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
        file.writestr(f"{stem}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{stem}.dist-info/RECORD", "")
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    stem = "fer_edge-0.1.0"
    return write_wheel(tmp_path / "own", stem, "py3-none-any", NEEDS[stem] + EXTRAS[stem])


@pytest.fixture
def whole(tmp_path: Path) -> list[Path]:
    return [write_wheel(tmp_path / "wheels", stem, tag, NEEDS.get(stem, [])) for stem, tag in TAGS.items()]


def test_a_whole_set_passes(own: Path, whole: list[Path]) -> None:
    wheels.check_wheels(BOOKWORM, own, whole)


@pytest.mark.parametrize("missing", range(len(TAGS)))
def test_a_missing_wheel_is_named(own: Path, whole: list[Path], missing: int) -> None:
    name = whole.pop(missing).name.split("-")[0].replace("_", "-")
    with pytest.raises(PackError, match=name):
        wheels.check_wheels(BOOKWORM, own, whole)


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_27_x86_64",
        "cp310-cp310-manylinux_2_27_aarch64",
        "cp312-abi3-manylinux_2_27_aarch64",
        "cp311-cp311-manylinux_2_39_aarch64",
        "cp311-cp311-musllinux_1_2_aarch64",
        "cp311-cp311-linux_armv7l",
    ],
)
def test_a_wheel_for_another_machine_is_refused(own: Path, whole: list[Path], tag: str, tmp_path: Path) -> None:
    wrong = [write_wheel(tmp_path / "wheels", "numpy-1.26.4", tag, []), *whole[1:]]
    with pytest.raises(PackError, match="does not run on pi-bookworm"):
        wheels.check_wheels(BOOKWORM, own, wrong)


def test_a_wheel_that_would_replace_the_systems_numpy_is_refused(own: Path, whole: list[Path], tmp_path: Path) -> None:
    new = write_wheel(tmp_path / "wheels", "tqdm-4.70.1", "py3-none-any", ["numpy>=1.25"])
    with pytest.raises(PackError, match=r"own NumPy is 1\.24\.2"):
        wheels.check_wheels(BOOKWORM, own, [*whole[:-1], new])


def test_a_need_of_the_target_alone_is_seen(own: Path, whole: list[Path], tmp_path: Path) -> None:
    more = write_wheel(tmp_path / "wheels", "tqdm-4.70.1", "py3-none-any", ['x; platform_machine == "aarch64"'])
    with pytest.raises(PackError, match="needs x"):
        wheels.check_wheels(BOOKWORM, own, [*whole[:-1], more])


def test_a_wheel_that_pip_cannot_read_is_refused(own: Path, whole: list[Path]) -> None:
    whole[-1].write_bytes(b"not a zip file")
    with pytest.raises((PackError, ToolError), match="tqdm"):
        wheels.check_wheels(BOOKWORM, own, whole)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PIP_NO_INDEX", "1", "Cannot install fer-edge"),
        ("PIP_INDEX_URL", "http://127.0.0.1:9/simple", "index cannot be reached"),  # the discard port: nobody answers
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    environment = {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", variable: value}
    for name, setting in environment.items():
        monkeypatch.setenv(name, setting)
    with pytest.raises(ToolError, match=said) as raised:
        wheels.dependency_wheels(BOOKWORM, own, tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_cache_is_not_used(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads: list[Path] = []

    def download(target: object, wheel: Path, pins: object, folder: Path, extras: str) -> None:
        made = [write_wheel(folder.parent / "new", stem, tag, NEEDS.get(stem, [])) for stem, tag in TAGS.items()]
        lines = [f"{wheels._sha256(path)}  {path.name}\n" for path in made]
        (folder.parent / "new" / "SHA256SUMS").write_text("".join(lines))
        (folder.parent / "new").rename(folder)
        downloads.append(folder)

    monkeypatch.setattr(wheels, "_download", download)  # PyPI; the real one runs in tests/e2e/test_install.py
    cache = tmp_path / "cache"
    cache.mkdir()
    found = wheels.dependency_wheels(BOOKWORM, own, cache)
    assert wheels.dependency_wheels(BOOKWORM, own, cache) == found
    assert len(downloads) == 1
    found[0].write_bytes(found[0].read_bytes()[:-1])
    wheels.dependency_wheels(BOOKWORM, own, cache)
    assert len(downloads) == 2
    found[0].unlink()
    wheels.dependency_wheels(BOOKWORM, own, cache)
    assert len(downloads) == 3


def test_targets_pin_the_numpy_that_their_systems_camera_packages_bear() -> None:
    for target in TARGETS.values():
        pins = dict(pin.split("==") for pin in wheels._pins(target))
        assert (pins["numpy"] < "2") == (target.python < (3, 13)), target.name
        assert sum(pin.startswith("numpy==") for pin in wheels._pins(target)) == 1


def test_unknown_target_and_offline_without_one(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="did you mean pi-bookworm"):
        find_target("pi-bokworm")
    with pytest.raises(PackError, match="one of pi-bookworm"):
        pack(tmp_path, tmp_path, None, offline=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def bundle() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or Path(__file__).parents[3] / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.fail(f"{path} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    return path


def test_same_bytes_whoever_packs(bundle: Path, tmp_path: Path) -> None:
    first = pack(bundle, tmp_path / "first", "pi-trixie")
    before = os.umask(0o077)
    try:
        os.utime(bundle / "manifest.json")
        second = pack(bundle, tmp_path / "second", "pi-trixie")
    finally:
        os.umask(before)
    assert first.name == "hawqc_mbv2-0.1.0-pi-trixie.tar.gz"
    assert first.read_bytes() == second.read_bytes()


def test_what_is_in_an_archive(bundle: Path, tmp_path: Path) -> None:
    path = pack(bundle, tmp_path)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        tar.extractall(tmp_path / "out", filter="data")
    root = tmp_path / "out" / "hawqc_mbv2-0.1.0"
    assert {member.name.split("/")[0] for member in members} == {root.name}
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, int(wheels.EPOCH))}
    expected = {"LICENSE", "LICENSES.txt", "SHA256SUMS", "bundle", "fer-edge.service", "install.sh", "target.json"}
    expected |= {"sbom.cdx.json", "fer_edge-0.1.0-py3-none-any.whl"}
    assert {entry.name for entry in root.iterdir()} == expected
    assert os.access(root / "install.sh", os.X_OK)
    assert open_bundle(root / "bundle").sha256 == open_bundle(bundle).sha256
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=root, check=False).returncode == 0
    listed = {line.split("  ")[1] for line in (root / "SHA256SUMS").read_text().splitlines()}
    files = {str(entry.relative_to(root)) for entry in root.rglob("*") if entry.is_file()}
    assert listed == files - {"SHA256SUMS"}
    document = json.loads((root / "target.json").read_text())
    assert document["target"] is None
    assert not document["offline"]
    assert "LicenseRef-research-weights" in (root / "LICENSES.txt").read_text()


def test_only_what_the_manifest_lists_is_packed(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    (copy / "notes.txt").write_text("private")
    (copy / "detector" / "passwd").symlink_to("/etc/passwd")
    (copy / "home").symlink_to(tmp_path)
    with tarfile.open(pack(copy, tmp_path / "dist")) as archive:
        names = [entry.name for entry in archive if "/bundle/" in entry.name and not entry.isdir()]
        assert not [entry.name for entry in archive if entry.issym() or entry.islnk()]
    listed = {entry.path for entry in open_bundle(bundle).manifest.files.values()} | {"manifest.json", "bundle.sha256"}
    assert {name.partition("/bundle/")[2] for name in names} == listed


def test_a_failed_write_leaves_the_archive_before(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(bundle, tmp_path)
    before = path.read_bytes()

    def fail(source: object, target: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        pack(bundle, tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
