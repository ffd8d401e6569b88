"""``install.sh`` as a user runs it, from real archives, on this machine and without a network: what it installs works.

What needs root (a network-less namespace, a private /etc) is skipped with a reason where it is not permitted. Archives
for aarch64 are packed and checked here; that they run is tested under emulation (tests/arm64).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from install_helpers import (
    DEPENDENCIES,
    PYTHON,
    Done,
    edge,
    environment,
    install,
    namespace,
    packages,
    refused,
    tree,
    unpack,
)

from fer_host.pack import pack
from fer_host.pack.signature import sign as write_signature

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="install.sh is for Linux")


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


def test_numpy_in_a_users_home_is_not_seen(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "numpy.py").write_text("raise SystemError('numpy of the user')")
    command = [str(installed / "bin/fer-edge"), "verify"]
    done = subprocess.run(
        command, env=environment(HOME=str(tmp_path)), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
