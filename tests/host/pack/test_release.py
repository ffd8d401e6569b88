"""What ``make release`` writes: complete, and the same bytes whoever makes it from the same commit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from fer_edge import __version__
from fer_host.errors import PackError, ToolError
from fer_host.files.paths import CHANGELOG
from fer_host.pack import release
from fer_host.pack.release import make_release, section


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_builds_are_the_same_bytes_and_whole(tmp_path: Path) -> None:
    asked = ["git", "rev-parse", "HEAD"]
    if (
        shutil.which("git") is None
        or subprocess.run(asked, cwd=CHANGELOG.parent, capture_output=True, check=False).returncode
    ):
        pytest.skip("no git checkout: a release is made from one")
    first = make_release([], [], tmp_path / "first")  # test_pack.py makes archives twice
    shutil.copytree(first, tmp_path / "second")  # an older one, which is replaced
    before = os.umask(0o077)
    try:
        second = make_release([], [], tmp_path / "second")
    finally:
        os.umask(before)
    names = {f"fer-edge-{__version__}-source.tar.gz", "NOTES.md", "SHA256SUMS"}
    names |= {f"fer_edge-{__version__}-py3-none-any.{kind}" for kind in ("whl", "cdx.json")}
    assert set(digests(first)) == names
    assert digests(first) == digests(second)
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=first, check=False).returncode == 0
    assert {line.split("  ")[1] for line in (first / "SHA256SUMS").read_text().splitlines()} == names - {"SHA256SUMS"}
    notes = (first / "NOTES.md").read_text()
    assert section(CHANGELOG.read_text(), __version__) in notes
    assert all(f"| {name} |" in notes for name in names - {"SHA256SUMS", "NOTES.md"})
    document = json.loads((first / f"fer_edge-{__version__}-py3-none-any.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    with tarfile.open(first / f"fer-edge-{__version__}-source.tar.gz") as source:
        assert f"fer-edge-{__version__}/device/fer_edge/cli.py" in source.getnames()


def test_strangers_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(PackError, match="holds no release"):
        make_release([], [], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_without_git_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ToolError, match="expected a git checkout"):
        make_release([], [], tmp_path / "out")
    assert list(tmp_path.glob("out*")) == []


def test_the_changelog_has_a_section_of_this_version() -> None:
    text = CHANGELOG.read_text()
    assert section(text, __version__).startswith("The first version") or __version__ != "0.1.0"
    made = (
        "# Changelog\n\n## [1.10.0] - 2030\n\n### Added\n\n- ten\n\n## [1.1.0] - 2029\n\n- one\n\n## [1.0.0] - 2028\n"
    )
    assert section(made, "1.1.0") == "- one\n"
    assert section(made, "1.10.0") == "### Added\n\n- ten\n"
    for missing in ("1.1", "1.0.0"):
        with pytest.raises(PackError, match="says nothing of"):
            section(made, missing)
