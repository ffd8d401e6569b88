"""HOME unset, XDG folders that are relative, homes that cannot be written or have an é: nothing lands elsewhere."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_edge.config import default_files
from fer_edge.contract import kept, places
from fer_edge.contract.bundle import Bundle
from fer_edge.setting import tuned

Edge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without any variable that names a place."""
    for name in ("HOME", "FER_EDGE_CACHE", "CACHE_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for kind in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.delenv(f"XDG_{kind}_HOME", raising=False)
    return monkeypatch


def test_without_home_the_accounts_own_counts(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = pwd.getpwuid(os.geteuid())
    fields = (*account[:5], str(tmp_path), account[6])
    bare.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(fields))
    assert kept.place() == tmp_path / ".cache/fer-edge"
    assert default_files()[-1] == tmp_path / ".config/fer-edge/config.toml"
    assert tmp_path / ".local/state/fer-edge/tune.json" in tuned.files()


def test_an_account_without_a_home_has_no_place(bare: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    bare.setattr(pwd, "getpwuid", unknown)
    assert (places.home(), kept.place()) == (None, None)
    assert default_files() == (Path("/etc/fer-edge/config.toml"),)
    assert tuned.files() == [tuned.SYSTEM_DIR / "tune.json"]
    assert kept.kept("0" * 64, 1, lambda: b"x") == b"x"
    bare.setenv("HOME", "/nonexistent")
    assert kept.place() is None
    bare.setenv("HOME", "relative")
    assert kept.place() is None


def test_relative_folders_are_ignored(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("HOME", str(tmp_path))
    for kind in ("CACHE", "CONFIG", "STATE"):
        bare.setenv(f"XDG_{kind}_HOME", "below/here")
    assert kept.place() == tmp_path / ".cache/fer-edge"
    assert default_files()[-1] == tmp_path / ".config/fer-edge/config.toml"
    assert tmp_path / ".local/state/fer-edge/tune.json" in tuned.files()


@pytest.mark.parametrize("kind", ["unset", "relative", "read-only", "é and a blank"])
def test_a_run_leaves_nothing_where_it_does_not_belong(kind: str, edge: Edge, tmp_path: Path) -> None:
    """On a bundle whose network has to be decoded, as another user, who has no home where HOME is unset."""
    bundle = Path(os.environ.get("FER_TEST_BUNDLE") or "dist/hawqc_mbv2").absolute()
    if not bundle.is_dir():
        pytest.skip(f"no {bundle}: make test makes one")
    home, here = tmp_path / ("josé maría" if kind == "é and a blank" else "home"), tmp_path / "here"
    home.mkdir()
    here.mkdir()
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "FER_", "HOME"))}
    if kind != "unset":
        environ["HOME"] = str(home)
    if kind == "relative":
        environ |= {"XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"}
    if kind == "read-only":
        home.chmod(0o555)
    done = edge("verify", "--variant", "mixed", "--bundle", bundle, cwd=here, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(here.iterdir()) == []
    assert not Path("/nonexistent").exists()
    decoded = home / ".cache/fer-edge/decoded"
    assert len(list(decoded.glob("*"))) == 1 if decoded.exists() else kind in ("unset", "read-only")
    home.chmod(0o755)
    shutil.rmtree(home)


def test_a_home_with_accents_through_every_place(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    home = tmp_path / "josé"
    (home / ".config/fer-edge").mkdir(parents=True)
    (home / ".config/fer-edge/config.toml").write_text("[web]\nprot = 1\n")
    shutil.copytree(bundle.path, home / ".local/share/fer-edge/bundle")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "FER_"))}
    for locale in ("C.UTF-8", "C", "POSIX"):
        variables = environ | {"HOME": str(home), "LC_ALL": locale, "LANG": locale}
        if not Path("/etc/fer-edge/config.toml").exists():
            done = edge("config", "check", env=variables)
            assert done.returncode == 2
            assert "web.prot: unknown key" in done.stderr
        done = edge("info", env=variables)
        assert done.returncode == 0, done.stderr
        assert "jos" in done.stdout
