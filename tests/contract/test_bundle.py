import lzma
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import CONTENTS, make_bundle, make_manifest

from fer_edge.contract import bundle as bundle_format
from fer_edge.contract.bundle import encode_file, open_bundle, write_bundle
from fer_edge.contract.errors import BundleError, EdgeError


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("sample") / "hawqc").path


def test_contents_come_back(sample: Path) -> None:
    bundle = open_bundle(sample)
    for role, (_, content, _) in CONTENTS.items():
        assert bundle.read(role) == content
    with pytest.raises(BundleError, match="no file with the role"):
        bundle.read("nowhere")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_changed_byte_anywhere_is_found(sample: Path, data: st.DataObject) -> None:
    files = sorted(path for path in sample.rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    changed = content[at] ^ data.draw(st.integers(1, 255))
    try:
        file.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
        with pytest.raises(EdgeError) as caught:
            open_bundle(sample)
        assert "\n" not in str(caught.value)
    finally:
        file.write_bytes(content)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truncated_or_missing_file_is_found(sample: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(path for path in sample.rglob("*") if path.is_file())))
    content = file.read_bytes()
    keep = data.draw(st.integers(-1, len(content) - 1))
    try:
        file.unlink()
        if keep >= 0:
            file.write_bytes(content[:keep])
        with pytest.raises(EdgeError):
            open_bundle(sample)
    finally:
        file.write_bytes(content)


def test_a_link_out_of_the_bundle_is_refused(sample: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sample, tmp_path / "copy")
    outside = tmp_path / "outside"
    (copy / "golden.npz").rename(outside)
    (copy / "golden.npz").symlink_to(outside)
    with pytest.raises(BundleError, match="leads outside"):
        open_bundle(copy)


def test_an_xz_bomb_is_not_unpacked(tmp_path: Path) -> None:
    manifest, stored = make_manifest()
    bomb = lzma.compress(bytes(50_000_000))
    entry, _ = encode_file("golden.npz", b"x")
    honest, _ = encode_file("golden.npz", bomb)
    lying = replace(entry, encoding="xz", size_bytes=honest.size_bytes, sha256=honest.sha256)
    manifest = replace(manifest, files={**manifest.files, "golden": lying})
    with pytest.raises(BundleError, match="has 2 bytes, expected 1"):
        write_bundle(tmp_path / "b", manifest, {**stored, "golden": bomb})


def test_a_file_of_another_size_is_refused_unread(sample: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sample, tmp_path / "copy")
    with (copy / "golden.npz").open("r+b") as file:
        file.truncate(1 << 40)  # sparse; no memory holds it
    with pytest.raises(BundleError, match="has 1099511627776 bytes, expected"):
        open_bundle(copy)


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "b"
    make_bundle(path)
    (path / "stray.txt").write_text("left over")
    make_bundle(path)
    assert not (path / "stray.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BundleError, match="not a bundle"):
        make_bundle(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_write_leaves_the_older_bundle_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path = tmp_path / "b"
    before = make_bundle(path).sha256

    replace_file, calls = os.replace, []

    def full(source: str, target: str) -> None:
        calls.append(source)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(bundle_format.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make_bundle(path)
    assert open_bundle(path).sha256 == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="make convert"):
        open_bundle(tmp_path)
