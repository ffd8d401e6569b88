"""``install.sh`` as root with the system's packages and a service, and as a user in their home."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from install_helpers import (
    PYTHON,
    ROOT,
    Done,
    environment,
    namespace,
    refused,
    sign,
    wrapper,
)

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="install.sh is for Linux")


def unzip_wheel(folder: Path, requirement: str) -> None:
    """Puts a published wheel for PYTHON where it can be imported from; downloaded once."""
    cache = ROOT / "build" / "wheels" / "system"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", cache, requirement], check=True, timeout=300)
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheel = next(cache.glob(f"{requirement.replace('==', '-')}-{tag}-*.whl"))
    shutil.unpack_archive(wheel, folder, "zip")


# Where the installer works as root: private copies, gone with the mount namespace. Nothing of this machine changes.
PRIVATE_MACHINE = """
set -eu
for folder in /usr/local/bin /usr/local/share /etc; do
    mkdir -p "$SCRATCH$folder"
    cp -a "$folder/." "$SCRATCH$folder"
    mount --bind "$SCRATCH$folder" "$folder"
done
mkdir "$SCRATCH/opt"
mount --bind "$SCRATCH/opt" /opt
if [ -d /run/systemd/system ]; then mount -t tmpfs none /run/systemd; fi
mount --bind "$SCRATCH/site" "$SITE"
"""


def as_root(scratch: Path, script: str, numpy: str) -> Done:
    """Runs a shell script as root on a private copy of the machine whose own packages are cv2 and this numpy."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if PYTHON.startswith("/opt/"):
        pytest.skip(f"{PYTHON} is under /opt, where this test installs")
    ask = [PYTHON, "-I", "-c", "import site; print(site.getsitepackages()[0])"]
    asked = subprocess.run(ask, capture_output=True, text=True, check=True)
    unzip_wheel(scratch / "site", f"numpy=={numpy}")
    variables = environment(SCRATCH=str(scratch), SITE=asked.stdout.strip(), PY=PYTHON, HOME=str(scratch))
    command = [*namespace("--mount", "--net"), "sh", "-c", PRIVATE_MACHINE + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env=variables, cwd="/")


PAGES = (
    "man/man1/fer-edge.1",
    "bash-completion/completions/fer-edge",
    "zsh/site-functions/_fer-edge",
    "fish/vendor_completions.d/fer-edge.fish",
)
WHERE = "import numpy, cv2; print(numpy.__version__, numpy.__file__, cv2.__file__)"


@pytest.mark.parametrize("numpy", ["1.26.2", "1.23.5"])
def test_as_root_with_the_systems_packages_and_a_service(unpacked: Path, tmp_path: Path, numpy: str) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("no systemctl here")
    if numpy < "1.24" and sys.version_info >= (3, 12):
        pytest.skip(f"no numpy {numpy} for this Python")
    wheel = next((unpacked / "wheels").glob("opencv_python_headless-*.whl"))
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    if numpy < "1.24":  # as OpenCV 4.8's typing module on JetPack, which wants a newer NumPy than JetPack has
        module = tmp_path / "site" / "cv2" / "__init__.py"
        module.write_text("import numpy\nassert numpy.__version__ >= '1.24'\n" + module.read_text())
    script = f"""
        cd "{unpacked}"
        touch /usr/local/share/mine
        sh install.sh --python "$PY" --service >&2
        fer-edge verify >&2
        for page in {" ".join(PAGES)}; do [ -s /usr/local/share/$page ]; done
        /opt/fer-edge/current/venv/bin/python3 -I -c "{WHERE}"
        "$PY" -I -c "import numpy; print(numpy.__version__, '$SITE')"
        readlink /etc/systemd/system/multi-user.target.wants/fer-edge.service
        systemd-analyze verify /etc/systemd/system/fer-edge.service >&2
        systemd-analyze security --offline=true --threshold=15 /etc/systemd/system/fer-edge.service >&2
        inode=$(stat -c %i,%Y /etc/systemd/system/fer-edge.service)
        sh install.sh --python "$PY" --service >&2
        [ "$inode" = "$(stat -c %i,%Y /etc/systemd/system/fer-edge.service)" ]
        sh install.sh --uninstall >&2
        cd /etc/systemd/system
        for page in {" ".join(PAGES)}; do [ ! -L /usr/local/share/$page ]; done
        [ -e /usr/local/share/mine ]
        find /opt /usr/local/bin/fer-edge fer-edge.service* multi-user.target.wants/fer-edge.service 2>/dev/null || true
    """
    done = as_root(tmp_path, script, numpy)
    assert done.returncode == 0, done.stderr
    inside, system, link, *left = done.stdout.splitlines()
    assert link == "/etc/systemd/system/fer-edge.service"
    assert left == ["/opt"]
    assert system.split()[0] == numpy  # in neither case is it touched
    version, numpy_file, cv2_file = inside.split()
    if numpy >= "1.24":
        assert version == numpy
        assert numpy_file.startswith(system.split()[1])
    else:  # JetPack 6: too old for fer-edge, which gets its own
        assert version == "1.26.4"
        assert numpy_file.startswith("/opt/fer-edge/")
    assert cv2_file.startswith(system.split()[1])


def fake_wheel(folder: Path, stem: str, needs: str, code: str) -> None:
    name = stem.partition("-")[0]
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as file:
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {stem.partition('-')[2]}\n"
        file.writestr(f"{stem}.dist-info/METADATA", about + (f"Requires-Dist: {needs}\n" if needs else ""))
        file.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{name}/__init__.py", code)
        file.writestr(f"{stem}.dist-info/RECORD", "")


def test_the_systems_numpy_stays_whatever_a_package_asks_for(copy: Path, tmp_path: Path) -> None:
    next((copy / "wheels").glob("tqdm-*.whl")).unlink()
    fake_wheel(copy / "wheels", "tqdm-99.0", "numpy>=99", "")
    fake_wheel(copy / "wheels", "numpy-99.0", "", "__version__ = '99.0'")
    sign(copy)
    scratch = tmp_path / "machine"
    scratch.mkdir()
    done = as_root(scratch, f'sh "{copy}/install.sh" --python "$PY"', "1.26.2")
    refused(done, "conflicting dependencies", "nothing was installed")
    assert list((scratch / "opt").iterdir()) == []


def test_jetpack_is_named_to_those_who_have_an_old_one(unpacked: Path, tmp_path: Path) -> None:
    python = wrapper(tmp_path, "import sys; sys.version_info = (3, 8, 10)")
    script = f"""
        echo "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64" >/etc/nv_tegra_release
        sh "{unpacked}/install.sh" --python "{python}"
    """
    refused(as_root(tmp_path, script, "1.26.2"), "Python 3.8", "JetPack 5: update to JetPack 6")


def test_as_a_user_in_their_home(unpacked: Path) -> None:
    become = []
    python = PYTHON
    if os.geteuid() == 0:
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        version = f"import sys, ensurepip; assert sys.version_info[:2] == {sys.version_info[:2]}"
        for python in (PYTHON, "/usr/bin/python3"):
            ask = [*become, "sh", "-c", '"$0" -I -c "$1"', python, version]
            if subprocess.run(ask, capture_output=True, check=False).returncode == 0:
                break
        else:
            pytest.skip("no Python of this version that another account may run")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        folder = Path(shutil.copytree(unpacked, scratch / "archive"))
        home = scratch / "home"
        home.mkdir()
        (home / ".local").mkdir()
        for path in (home, home / ".local"):
            os.chown(path, *((65534, 65534) if become else (-1, -1)))
        prefix = [*(namespace("--net") if become else []), *become]
        sh = [*prefix, "sh", str(folder / "install.sh"), "--python", python]
        variables = environment(HOME=str(home), PATH="/usr/bin:/bin")
        first = subprocess.run(sh, capture_output=True, text=True, check=False, env=variables, cwd="/")
        assert first.returncode == 0, first.stderr
        assert "add" in first.stdout, "PATH lacks the folder of the command, which should be said"
        assert [name for name in PAGES if not (home / ".local/share" / name).is_file()] == []
        command = home / ".local" / "bin" / "fer-edge"
        done = subprocess.run([*prefix, command, "info"], capture_output=True, text=True, check=False, env=variables)
        assert done.returncode == 0, done.stderr
        assert str(home / ".local/share/fer-edge/versions") in done.stdout
        refused(subprocess.run([*sh, "--service"], capture_output=True, text=True, check=False, env=variables), "root")
        done = subprocess.run([*sh, "--uninstall"], capture_output=True, text=True, check=False, env=variables)
        assert done.returncode == 0, done.stderr
        assert [path for path in home.rglob("*") if path.is_symlink() or not path.is_dir()] == []
        assert not (home / ".local/share/fer-edge").exists()
