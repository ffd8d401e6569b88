"""``install.sh`` as a user runs it, from real archives, on this machine and without a network.

What needs root (a network-less namespace, a private /etc) is skipped with a reason where it is not permitted. Archives
for aarch64 are packed and checked here; that they run is tested under emulation (tests/arm64).
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from fer_edge.contract.bundle import encode_file, open_bundle, write_bundle
from fer_host.pack import pack
from fer_host.pack.signature import sign as write_signature

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="install.sh is for Linux")
ROOT = Path(__file__).parents[2]
PYTHON = getattr(sys, "_base_executable", sys.executable)  # the one that .venv was made from
DEPENDENCIES = {
    "ai_edge_litert", "backports_strenum", "flatbuffers", "ml_dtypes", "numpy", "opencv_python_headless", "paho_mqtt",
    "protobuf", "tqdm", "typing_extensions",
}  # fmt: skip
Done = subprocess.CompletedProcess[str]


def environment(**more: str) -> dict[str, str]:
    """This process' without anything that helps pip."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "FER_"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, **more}


def namespace(*flags: str) -> list[str]:
    """The prefix of a command in namespaces of its own; skips where these are not permitted."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), *flags]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{' '.join(command)} is not permitted here")
    return command


def install(folder: Path, prefix: Path | None, *options: object, python: object = PYTHON, **more: str) -> Done:
    """Runs the installer of an unpacked archive without a network."""
    where = [] if prefix is None else ["--prefix", str(prefix)]
    command = [*namespace("--net"), "sh", str(folder / "install.sh"), *where, "--python", str(python)]
    command += map(str, options)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment(**more), cwd="/"
    )


def refused(done: Done, *said: str) -> None:
    assert done.returncode == 2, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("install.sh: error: ")
    for words in said:
        assert words in lines[0], lines[0]


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """inode and time of change of everything in a folder."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        about = path.lstat()
        found[str(path.relative_to(folder))] = (about.st_ino, about.st_mtime_ns)
    return found


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.iterdir())


@pytest.fixture(scope="session")
def archive(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offline archive for this machine; its wheels are downloaded once, into build/wheels."""
    if platform.machine() != "x86_64":
        pytest.skip("no offline archive for this machine: x86 is packed for x86_64")
    return pack(bundle, tmp_path_factory.mktemp("dist"), "x86", offline=True)


@pytest.fixture(scope="session")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(archive, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    """An unpacked archive to change (links; a file is changed by replacing it)."""
    return Path(shutil.copytree(unpacked, tmp_path / "archive", copy_function=os.link))


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def sign(folder: Path) -> None:
    """Writes SHA256SUMS anew, as for another release."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    listed = [name for name in files if name != "SHA256SUMS"]
    done = subprocess.run(["sha256sum", *listed], cwd=folder, capture_output=True, check=True)
    replace(folder / "SHA256SUMS", done.stdout)


@pytest.fixture(scope="session")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("with a blank") / "fer edge"
    done = install(unpacked, prefix)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return prefix


def edge(prefix: Path, *arguments: object) -> Done:
    command = [str(prefix / "bin" / "fer-edge"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), cwd="/", timeout=120)


def packages(prefix: Path) -> set[str]:
    """Names of what an installation brought itself."""
    found = (prefix / "current").glob("venv/lib/python3*/site-packages/*.dist-info")
    return {path.name.partition("-")[0].lower() for path in found}


def test_the_installed_command_finds_its_bundle(installed: Path, run: Callable[..., Done], tmp_path: Path) -> None:
    for name in ("verify", "info"):
        done = edge(installed, name)
        assert done.returncode == 0, done.stderr
    assert str(installed) in edge(installed, "info").stdout
    assert run("fer-host", "sample-photo", tmp_path / "astronaut.png").returncode == 0
    done = edge(installed, "image", tmp_path / "astronaut.png", "--json")
    assert done.returncode == 0, done.stderr
    assert [face["label"] for face in json.loads(done.stdout)[0]["faces"]] == ["happiness"]


THREE_LINES = """
import sys, fer_edge
reader = fer_edge.open_reader()
for face in reader.read(sys.argv[1]).faces:
    print(face.label)
"""


def test_the_wheel_alone_reads_a_face(unpacked: Path, run: Callable[..., Done], tmp_path: Path) -> None:
    """In an empty environment, with the wheels there but no network, no compiler, no git and no bundle."""
    assert run("fer-host", "sample-photo", tmp_path / "astronaut.png").returncode == 0
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "env", "dirname", "readlink"):  # what starts the command
        (tools / name).symlink_to(shutil.which(name) or name)

    def alone(*line: object) -> str:
        variables = {"PATH": str(tools), "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
        command = [*namespace("--net"), *map(str, line)]
        command[0] = shutil.which(command[0]) or command[0]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, env=variables, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    alone(PYTHON, "-m", "venv", tmp_path / "v")
    python = tmp_path / "v/bin/python"
    wheel = next(unpacked.glob("fer_edge-*.whl"))
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    alone(*pip, "--find-links", unpacked / "wheels", f"{wheel}[opencv,litert]")
    photo = tmp_path / "astronaut.png"
    found = json.loads(alone(tmp_path / "v/bin/fer-edge", "image", photo, "--json"))
    assert [face["label"] for face in found[0]["faces"]] == ["happiness"]
    assert alone(python, "-c", THREE_LINES, photo) == "happiness\n"
    listed = json.loads(alone(python, "-m", "fer_edge", "bundles", "--json"))["bundles"]
    assert [(row["origin"], row["used"]) for row in listed] == [("built-in", True)]


ONNX = ("onnx", "onnx_int8")


@pytest.fixture(scope="session")
def both_runtimes(run: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with variants for onnxruntime too: the stages before them are those of ``make test``."""
    path = tmp_path_factory.mktemp("both") / "hawqc_mbv2"
    line = ("convert", "hawqc_mbv2", "--variant", ",".join(("int8", *ONNX)), "--quiet", "--out", path)
    done = run("fer-host", *line)
    assert done.returncode == 0, done.stderr
    return path


def test_an_onnx_variant_from_the_archive_to_a_face(
    both_runtimes: Path, unpacked: Path, run: Callable[..., Done], tmp_path: Path
) -> None:
    """onnxruntime's wheel comes with a bundle that has variants for it, is installed offline, and computes."""
    if platform.machine() != "x86_64":
        pytest.skip("no offline archive for this machine: x86 is packed for x86_64")
    folder = unpack(pack(both_runtimes, tmp_path / "dist", "x86", offline=True), tmp_path / "unpacked")
    brought = {path.name.partition("-")[0] for path in (folder / "wheels").iterdir()}
    assert "onnxruntime" in brought
    assert not list((unpacked / "wheels").glob("onnx*"))  # nobody pays for it who did not ask
    asked = [json.loads((where / "target.json").read_text())["install_bytes"] for where in (folder, unpacked)]
    assert asked[0] > asked[1]
    done = install(folder, tmp_path / "prefix")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "onnxruntime" in packages(tmp_path / "prefix")
    assert run("fer-host", "sample-photo", tmp_path / "astronaut.png").returncode == 0
    answers = {}
    for variant in ("int8", *ONNX):
        photo = edge(tmp_path / "prefix", "image", tmp_path / "astronaut.png", "--json", "--variant", variant)
        assert photo.returncode == 0, photo.stderr
        (answers[variant],) = json.loads(photo.stdout)[0]["faces"]
    assert {face["label"] for face in answers.values()} == {"happiness"}
    differences = [
        abs(p - answers["onnx_int8"]["probabilities"][label]) for label, p in answers["int8"]["probabilities"].items()
    ]
    assert max(differences) < 0.05  # the same integers and scales
    rows = json.loads(edge(tmp_path / "prefix", "verify", "--json").stdout)["variants"]
    on = {row["variant"]: row["runs_on"] for row in rows}
    assert {"CPUExecutionProvider" in on[variant] for variant in ONNX} == {True}
    assert on["int8"].startswith("ai-edge-litert")
    printed = edge(tmp_path / "prefix", "verify").stdout
    assert "onnxruntime" in printed
    assert "blazeface_short.onnx: as tflite on the golden crops" in printed
    lines = {
        row["name"]: row["found"]
        for row in json.loads(edge(tmp_path / "prefix", "doctor", "--json").stdout)["findings"]
    }
    assert lines["onnxruntime"].endswith("providers CPU")
    assert lines["provider"] == "onnx, onnx_int8 run where they were meant to: CPU"


def test_only_what_the_device_needs_is_installed(installed: Path) -> None:
    assert packages(installed) - {"pip", "setuptools"} <= DEPENDENCIES | {"fer_edge"}
    assert {"fer_edge", "ai_edge_litert"} <= packages(installed)


def test_every_file_is_in_the_bill_of_materials(unpacked: Path) -> None:
    document = json.loads((unpacked / "sbom.cdx.json").read_text())
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str((unpacked / "sbom.cdx.json").read_text())
    assert problem is None, problem
    found = {part["bom-ref"]: part["hashes"][0]["content"] for part in document["components"]}
    listed = {line[66:]: line[:64] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    about_the_archive = {"LICENSE", "LICENSES.txt", "sbom.cdx.json", "target.json"}
    assert {name: listed[name] for name in listed.keys() - about_the_archive} == found
    assert sum(name.startswith("wheels/") for name in found) == len(DEPENDENCIES)
    text = (unpacked / "LICENSES.txt").read_text()
    for part in document["components"]:
        assert part["licenses"], part
        assert f"- {part['name']}" in text or part["name"] in ("fer-edge", "fer-edge.service", "install.sh"), part
    inside = {
        inner["name"].partition("-")[0] for part in document["components"] for inner in part.get("components", [])
    }
    assert {"libavcodec", "libssl"} <= inside  # OpenCV's wheel has libraries of others


def test_the_space_asked_for_suffices_and_is_not_absurd(installed: Path, unpacked: Path) -> None:
    asked = json.loads((unpacked / "target.json").read_text())["install_bytes"]
    disk = int(subprocess.run(["du", "-sk", installed], capture_output=True, text=True, check=True).stdout.split()[0])
    own_numpy = "numpy" in packages(installed)  # else the system's is used, which the figure cannot know
    assert disk * 1024 <= asked
    assert asked <= (1.3 if own_numpy else 2) * disk * 1024


def test_a_second_run_only_verifies(installed: Path, unpacked: Path) -> None:
    before = tree(installed)
    done = install(unpacked, installed)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert tree(installed) == before


def test_a_signed_archive_is_taken_by_the_installed_installer(installed: Path, copy: Path, tmp_path: Path) -> None:
    """Nothing of the archive runs before its signature is checked."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen (apt install openssh-client)")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    asked = ("--from", copy, "--require-signature", tmp_path / "key.pub")
    refused(install(installed / "current", installed, *asked), "is not signed")
    write_signature(copy / "SHA256SUMS", tmp_path / "key")
    before = tree(installed)
    done = install(installed / "current", installed, *asked)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert tree(installed) == before


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


def test_numpy_in_a_users_home_is_not_seen(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "numpy.py").write_text("raise SystemError('numpy of the user')")
    command = [str(installed / "bin/fer-edge"), "verify"]
    done = subprocess.run(
        command, env=environment(HOME=str(tmp_path)), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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


def wrapper(folder: Path, lines: str) -> Path:
    """A python3 that reports something else of itself: runs ``lines`` before the script that it is given."""
    path = folder / "bin" / "python3"
    path.parent.mkdir()
    (folder / "lines.py").write_text(lines + "\n")
    path.write_text(f'#!/bin/sh\ncat "{folder}/lines.py" - | "{PYTHON}" "$@"\n')
    path.chmod(0o755)
    return path


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


def test_a_home_with_accents(unpacked: Path, tmp_path: Path) -> None:
    """Security fault S16: it was refused, and --prefix blamed, which nobody had given."""
    home = tmp_path / "josé maría"
    home.mkdir()
    prefix = home / ".local/share/fer-edge"
    done = install(unpacked, prefix, HOME=str(home), LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert edge(prefix, "verify").returncode == 0
    assert install(unpacked, prefix, "--uninstall", HOME=str(home)).returncode == 0
    assert not prefix.exists()


def test_ctrl_c_while_an_installed_command_starts(installed: Path) -> None:
    seen = set()
    for delay_ms in (2, 10, 20, 30, 50, 80, 130, 200, 300):
        command = [str(installed / "bin/fer-edge"), "info"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(delay_ms / 1000)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert errors in ("", "fer-edge: stopped\n"), (delay_ms, errors)
        assert process.returncode in (0, 130, -signal.SIGINT)
        seen.add(process.returncode)
    assert seen != {0}


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


AARCH64 = {"pi-bookworm": ("cp311", 36), "pi-trixie": ("cp313", 41), "jetson-jp6": ("cp310", 35)}


@pytest.mark.parametrize("target", AARCH64)
def test_offline_archives_for_boards_hold_every_wheel(bundle: Path, tmp_path: Path, target: str) -> None:
    python, glibc = AARCH64[target]
    path = pack(bundle, tmp_path, target, offline=True)
    assert path.name == f"hawqc_mbv2-0.1.0-{target}-offline.tar.gz"
    with tarfile.open(path) as tar:
        names = [Path(member.name).name for member in tar.getmembers() if "/wheels/" in member.name]
        document = json.load(tar.extractfile(f"hawqc_mbv2-0.1.0-{target}-offline/target.json"))  # type: ignore[arg-type]
        licenses = tar.extractfile(f"hawqc_mbv2-0.1.0-{target}-offline/LICENSES.txt").read().decode()  # type: ignore[union-attr]
    expected = DEPENDENCIES | ({"tomli"} if python == "cp310" else set())  # Python 3.11 has its own
    assert {name.partition("-")[0] for name in names} == expected
    assert len(names) == len(expected)
    for name in names:
        interpreter, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
        if platforms == "any":
            assert "py3" in interpreter
            continue
        assert abi in (python, "abi3"), name
        assert interpreter == python or (abi == "abi3" and int(interpreter[3:]) <= int(python[3:])), name
        oldest = [int(found) for found in re.findall(r"manylinux_2_(\d+)_aarch64", platforms)] or [17]
        assert min(oldest) <= glibc, name
        assert "aarch64" in platforms, name
    assert document["machine"] == "aarch64"
    assert document["python"] == f"3.{python[3:]}"
    assert all(
        f"- {name}" in licenses.replace("-", "_").replace("\n_", "\n-").replace(".", "_") for name in DEPENDENCIES
    )


def test_the_archive_of_a_board_is_refused_here(bundle: Path, tmp_path: Path) -> None:
    folder = unpack(pack(bundle, tmp_path / "dist", "pi-trixie"), tmp_path / "unpacked")
    refused(install(folder, tmp_path / "prefix"), "for pi-trixie (Python 3.13 on aarch64)", platform.machine())
    assert not (tmp_path / "prefix").exists()
