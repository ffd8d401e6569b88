import lzma
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import CONTENTS, make_bundle, make_manifest

from fer_edge.contract.bundle import check_output, encode_file, open_bundle, write_bundle
from fer_edge.contract.errors import BundleError, EdgeError, SchemaError
from fer_edge.contract.latency import Probe, ProbesDoc, dump_probes


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


def test_a_bundle_is_checked_without_holding_its_files(tmp_path: Path) -> None:
    manifest, stored = make_manifest()
    entry, large = encode_file("golden.npz", bytes(8 << 20))
    manifest = replace(manifest, files={**manifest.files, "golden": entry})
    write_bundle(tmp_path / "b", manifest, {**stored, "golden": large})
    tracemalloc.start()
    try:
        open_bundle(tmp_path / "b")
        held_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held_bytes < 1 << 20


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "b"
    make_bundle(path)
    (path / "golden.npz").write_text("damaged")
    make_bundle(path)
    open_bundle(path)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def _web_app(folder: Path) -> None:
    """What a user's folder may hold: a manifest.json of another kind, sources, a repository."""
    (folder / "src").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "manifest.json").write_text('{"name": "my app", "icons": []}')
    (folder / "src" / "app.js").write_text("precious")
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main")


def _bundle_with(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        make_bundle(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")

    return make


def _bundle_with_link(folder: Path) -> None:
    make_bundle(folder)
    (folder / "mine").symlink_to(folder.parent)


def _bundle_with_empty_folder(folder: Path) -> None:
    make_bundle(folder)
    (folder / "mine").mkdir()


def _probes_that_list_a_neighbor(folder: Path) -> None:
    make_bundle(folder)
    (folder / "probes").mkdir()
    probe = Probe("../notes.txt", "0" * 64, "ADD", {}, (1,), (1,), "int8", 1, 1.0)
    (folder / "probes" / "probes.json").write_text(dump_probes(ProbesDoc(("tiny",), (probe,))))
    (folder / "notes.txt").write_text("precious")


def _file(folder: Path) -> None:
    folder.write_text("precious")


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (_web_app, "not one of a bundle"),
        (_bundle_with("stray.txt"), "stray.txt"),
        (_bundle_with("detector/notes.txt"), "detector/notes.txt"),
        (_bundle_with(".env"), ".env"),
        (_bundle_with_link, "mine"),
        (_bundle_with_empty_folder, "mine/"),
        (_probes_that_list_a_neighbor, "notes.txt"),
        (_file, "is a file"),
    ],
)
def test_what_we_did_not_make_is_not_removed(tmp_path: Path, fill: Callable[[Path], None], said: str) -> None:
    fill(tmp_path / "mine")
    before = _everything_in(tmp_path)
    with pytest.raises(BundleError, match=re.escape(said)):
        make_bundle(tmp_path / "mine")
    with pytest.raises(BundleError):
        check_output(tmp_path / "mine")
    assert _everything_in(tmp_path) == before


def _everything_in(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in paths}


def test_neighbors_with_names_like_ours_survive(tmp_path: Path) -> None:
    for name in (".b.mine.tmp", ".b.old.tmp", ".fer-edge-mine.tmp", ".[b].x.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
    make_bundle(tmp_path / "b")
    make_bundle(tmp_path / "b")
    make_bundle(tmp_path / "[b]")
    assert len(list(tmp_path.glob("*/thesis.txt"))) == 4


def test_probes_in_a_bundle_go_with_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "probes").mkdir()
    probe = Probe("000-add.tflite", "0" * 64, "ADD", {}, (1,), (1,), "int8", 1, 1.0)
    (tmp_path / "b" / "probes" / "probes.json").write_text(dump_probes(ProbesDoc(("tiny",), (probe,))))
    (tmp_path / "b" / "probes" / "000-add.tflite").write_text("made by us")
    make_bundle(tmp_path / "b")
    assert not (tmp_path / "b" / "probes").exists()


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "b")
    make_bundle(tmp_path / "link")
    make_bundle(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    open_bundle(tmp_path / "disk" / "b")


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_killed_write_is_cleared_and_the_older_bundle_put_back(tmp_path: Path, killed_at: int) -> None:
    path = tmp_path / "b"
    before = make_bundle(path).sha256
    child = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from samples import make_bundle
        replace, calls = os.replace, []
        def killed(a, b):
            calls.append(a)
            if len(calls) == {killed_at}:
                os.kill(os.getpid(), 9)
            replace(a, b)
        os.replace = killed
        make_bundle(Path({str(path)!r}))
    """)
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == -9
    assert path.exists() == (killed_at == 1)
    assert len(list(tmp_path.glob(".fer-edge-*"))) == 1
    make_bundle(tmp_path / "another")
    assert open_bundle(path).sha256 == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["another", "b"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\x1b[31m", "x" * 65, "a b"])
def test_a_name_that_becomes_a_path_is_plain(name: str) -> None:
    manifest, _ = make_manifest()
    for field in ("model_id", "version"):
        with pytest.raises(SchemaError, match=field):
            replace(manifest, **{field: name})


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

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make_bundle(path)
    assert open_bundle(path).sha256 == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_no_bundle_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="make convert"):
        open_bundle(tmp_path)
