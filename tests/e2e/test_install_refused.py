"""What ``install.sh`` refuses, in one line and before it changes anything: machines, archives, options, folders."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from install_helpers import PYTHON, ROOT, environment, install, namespace, refused, replace, sign, unpack, wrapper

from fer_host.pack import pack

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="install.sh is for Linux")
OTHER = 12345  # a user who is neither root nor called sudo
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of another user need root")


@needs_root
@pytest.mark.parametrize(
    ("place", "owner", "mode"),
    [
        ("", OTHER, 0o755),
        ("..", OTHER, 0o755),
        ("bundle", OTHER, 0o755),
        ("target.json", OTHER, 0o644),
        ("bundle/manifest.json", 0, 0o666),
        ("wheels", 0, 0o777),
        ("..", 0, 0o777),
    ],
)
def test_root_installs_from_no_folder_that_others_can_change(
    unpacked: Path, tmp_path: Path, place: str, owner: int, mode: int
) -> None:
    """Whoever can write there changes a file after its sha256 was checked, and before root runs it."""
    folder = tmp_path / "of others" / "archive"
    folder.parent.mkdir()
    copied = Path(shutil.copytree(unpacked, folder, ignore=shutil.ignore_patterns("*.whl")))
    changed = (copied / place).resolve()
    changed.chmod(mode)
    os.chown(changed, owner, 0)
    done = install(copied, tmp_path / "prefix")
    refused(done, str(changed), "others can change it while root installs from there", "as root, in a folder of root's")
    assert not (tmp_path / "prefix").exists()


@needs_root
def test_who_called_sudo_may_own_the_archive(unpacked: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(unpacked, tmp_path / "archive", ignore=shutil.ignore_patterns("*.whl")))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OTHER, OTHER)
    folder.chmod(0o775)
    sudo = {"SUDO_UID": str(OTHER), "SUDO_GID": str(OTHER)}
    refused(install(folder, tmp_path / "prefix", python="/nowhere/python3", **sudo), "/nowhere/python3")
    refused(install(folder, tmp_path / "prefix", python="/nowhere/python3"), "others can change it")


def test_what_is_added_behind_the_installers_last_line_while_it_runs_is_not_read(tmp_path: Path) -> None:
    """A shell reads a script as it goes."""
    marker, script = tmp_path / "run", tmp_path / "install.sh"
    script.write_text(f"{(ROOT / 'device/install.sh').read_text()}\ntouch '{marker}'\n")
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / ".fer-edge").touch()
    done = subprocess.run(
        ["sh", str(script), "--uninstall", "--prefix", str(tmp_path / "prefix")],
        capture_output=True, text=True, check=False, env=environment(HOME=str(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "removed" in done.stdout
    assert not marker.exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("import struct; struct.calcsize = lambda text: 4", ["32-bit", "64-bit Raspberry Pi OS"]),
        ("import sys; sys.version_info = (3, 9, 18)", ["Python 3.9, expected 3.10 to 3.13"]),
        ("import sys; sys.version_info = (3, 14, 0)", ["Python 3.14, expected 3.10 to 3.13"]),
        ("import platform; platform.machine = lambda: 'riscv64'", ["riscv64: expected aarch64 or x86_64"]),
        ("import platform; platform.machine = lambda: 'aarch64'", ["for x86", "on aarch64"]),
        ("import platform; platform.libc_ver = lambda: ('', '')", ["expected glibc"]),
        ("import platform; platform.system = lambda: 'Darwin'", ["Darwin: expected Linux"]),
        ("import sys; sys.modules['ensurepip'] = None", ["sudo apt install python3-venv"]),
        ("import sys; sys.modules['venv'] = None", ["sudo apt install python3-venv"]),
        ("import sys; sys.prefix = '/venv'", ["virtual environment", "/usr/bin/python3"]),
        ("raise SystemExit('broken')", ["cannot run (broken)"]),
    ],
)
def test_an_unsuitable_machine_is_refused(unpacked: Path, tmp_path: Path, lines: str, said: list[str]) -> None:
    python = wrapper(tmp_path, lines)
    refused(install(unpacked, tmp_path / "prefix", python=python), *said)
    assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.9"])
def test_a_real_old_python_is_refused(unpacked: Path, tmp_path: Path, version: str) -> None:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    if not found:
        pytest.skip(f"no Python {version} here")
    refused(install(unpacked, tmp_path / "prefix", python=found[0]), f"Python {version}, expected 3.10 to 3.13")


def test_python3_is_looked_up_on_path_where_the_system_has_none(unpacked: Path, tmp_path: Path) -> None:
    private = namespace("--mount", "--net")
    python = wrapper(tmp_path, "import sys; sys.version_info = (3, 9, 18)")
    script = f'mount --bind /dev/null /usr/bin/python3; exec sh "{unpacked}/install.sh" --prefix "{tmp_path}/prefix"'
    if not Path("/usr/bin/python3").exists():
        script = script.partition("; ")[2]
    variables = environment(PATH=f"{python.parent}:{os.environ['PATH']}")
    done = subprocess.run([*private, "sh", "-c", script], capture_output=True, text=True, check=False, env=variables)
    refused(done, f"{python} is Python 3.9")


def test_no_wheels_and_no_network(bundle: Path, tmp_path: Path) -> None:
    folder = unpack(pack(bundle, tmp_path / "dist"), tmp_path / "unpacked")
    refused(install(folder, tmp_path / "prefix"), "index cannot be reached", "OFFLINE=1")
    assert not (tmp_path / "prefix").exists()


def test_a_full_disk(unpacked: Path, tmp_path: Path) -> None:
    script = f'mount -t tmpfs -o size=20m none "{tmp_path}" && mkdir "{tmp_path}/p" && '
    script += (
        f'sh "{unpacked}/install.sh" --python "{PYTHON}" --prefix "{tmp_path}/p"; s=$?; ls -A "{tmp_path}"; exit $s'
    )
    command = [*namespace("--mount", "--net"), "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    refused(done, "MB free, expected at least")
    assert done.stdout == ""  # an empty prefix that it was given goes too, as `--uninstall` leaves it


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--frobnicate"], "--frobnicate: unknown option"),
        (["--prefix"], "--prefix: no value"),
        (["--python", "/nowhere/python3"], "/nowhere/python3: no such command"),
        (["--prefix", "/dev/null"], "is a file"),
        (["--prefix", "/usr"], "'bin' that is not of fer-edge"),
        (["--prefix", "/proc/fer-edge"], "cannot be written"),
        (["--prefix", "/tmp/a'b"], "only letters, digits"),
        (["--rollback"], "no earlier version"),
    ],
)
def test_options_that_cannot_be_met(unpacked: Path, tmp_path: Path, options: list[str], said: str) -> None:
    refused(install(unpacked, tmp_path / "prefix", *options), said)
    assert list(tmp_path.iterdir()) == []


def test_help_says_every_option() -> None:
    script = ROOT / "device" / "install.sh"
    done = subprocess.run(["sh", script, "--help"], capture_output=True, text=True, check=True)
    parser = script.read_text().partition("while [ $# -gt 0 ]")[2].partition("done")[0]
    options = set(re.findall(r"(?<=[ |])--[a-z-]+(?=\)| \|)", parser))
    expected = {"--from", "--require-signature", "--prefix", "--python", "--service", "--uninstall", "--rollback"}
    assert expected | {"--verbose", "--help"} == options
    assert all(option in done.stdout for option in options)


def test_what_python_prints_is_never_run(unpacked: Path, tmp_path: Path) -> None:
    """Security fault S6: warnings, and whatever an archive says of itself, were evaluated by the shell."""
    trap = f"$(touch {tmp_path}/ran); touch {tmp_path}/ran2"
    lines = f"import sys; sys.stderr.write({trap!r} + chr(10)); print({trap!r}); print('fact py_bits=$(touch ran)')\n"
    lines += "import struct; struct.calcsize = lambda text: 4"
    refused(install(unpacked, tmp_path / "prefix", python=wrapper(tmp_path, lines)), "32-bit")
    lines = lines.replace("struct.calcsize = lambda text: 4", f"import platform; platform.system = lambda: {trap!r}")
    (tmp_path / "lines.py").write_text(lines + "\n")
    refused(install(unpacked, tmp_path / "prefix", python=tmp_path / "bin/python3"), "expected Linux")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "ran2").exists()


@pytest.mark.parametrize(
    ("key", "value"), [("model_id", "../../x"), ("version", "$(id)"), ("install_bytes", "a[$(id)]")]
)
def test_what_an_archive_says_of_itself_is_checked(copy: Path, tmp_path: Path, key: str, value: str) -> None:
    document = json.loads((copy / "target.json").read_text())
    replace(copy / "target.json", json.dumps({**document, key: value}).encode())
    sign(copy)
    refused(install(copy, tmp_path / "prefix"), "target.json")
    assert not (tmp_path / "prefix").exists()


def test_the_archive_of_a_board_is_refused_here(bundle: Path, tmp_path: Path) -> None:
    folder = unpack(pack(bundle, tmp_path / "dist", "pi-trixie"), tmp_path / "unpacked")
    refused(install(folder, tmp_path / "prefix"), "for pi-trixie (Python 3.13 on aarch64)", platform.machine())
    assert not (tmp_path / "prefix").exists()
