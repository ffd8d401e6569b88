"""Archives that were signed with OpenSSH's own tool, and ``install.sh --require-signature``, which wants one.

That a signed archive installs is in test_install.py, where one is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_host.errors import PackError, ToolError
from fer_host.pack import pack
from fer_host.pack.signature import sign

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen (apt install openssh-client)")
PYTHON = getattr(sys, "_base_executable", sys.executable)  # the one that .venv was made from
Refused = Callable[..., None]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys ours and other, and their public parts."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    return folder


@pytest.fixture(scope="module")
def signed(bundle: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(bundle, tmp_path_factory.mktemp("dist"), key=keys / "ours")


@pytest.fixture
def unpacked(signed: Path, tmp_path: Path) -> Path:
    with tarfile.open(signed) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    return next((tmp_path / "unpacked").iterdir())


def install(folder: Path, *options: object, **more: str) -> subprocess.CompletedProcess[str]:
    """The installer, with a Python that is none: whoever gets that far has passed the signature."""
    command = ["sh", str(folder / "install.sh"), "--prefix", str(folder.parent / "prefix"), "--python", "/bin/false"]
    return subprocess.run(
        [*command, *map(str, options)], capture_output=True, text=True, check=False, env={**os.environ, **more}, cwd="/"
    )


def passed(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the signature was accepted; the installation ended at the next step."""
    assert done.returncode == 2, done.stderr
    return done.stderr.startswith("install.sh: error: /bin/false: cannot run")


def signers(folder: Path, *lines: tuple[str, str, Path]) -> Path:
    """ssh-keygen's list of allowed signers."""
    path = folder / "allowed_signers"
    path.write_text("".join(f"{name} {options} {key.read_text()}" for name, options, key in lines))
    return path


def test_a_signature_is_of_every_file_and_of_nothing_else(signed: Path, unpacked: Path) -> None:
    with tarfile.open(signed) as tar:
        names = {Path(member.name).name for member in tar if member.name.count("/") == 1}
    assert {"SHA256SUMS", "SHA256SUMS.sig", "install.sh"} <= names
    listed = {line[66:] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert files - listed == {"SHA256SUMS", "SHA256SUMS.sig"}


def test_the_same_key_gives_the_same_bytes(unpacked: Path, keys: Path) -> None:
    before = (unpacked / "SHA256SUMS.sig").read_bytes()
    (unpacked / "SHA256SUMS.sig").unlink()
    assert sign(unpacked / "SHA256SUMS", keys / "ours").read_bytes() == before


def test_the_signers_key_is_accepted(unpacked: Path, keys: Path, tmp_path: Path) -> None:
    assert passed(install(unpacked, "--require-signature", keys / "ours.pub"))
    both = signers(tmp_path, ("fer-edge", "", keys / "other.pub"), ("fer-edge", "", keys / "ours.pub"))
    assert passed(install(unpacked, f"--require-signature={both}"))
    assert passed(install(unpacked))  # who asks for none gets none checked


def test_by_hand_as_the_manual_says(unpacked: Path, keys: Path, tmp_path: Path) -> None:
    """Before anything of the archive runs: docs/signatures.md."""
    signers(tmp_path, ("fer-edge", "", keys / "ours.pub"))
    page = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text()
    (verify,) = [line for line in page.splitlines() if line.startswith("ssh-keygen -Y verify")]
    script = verify.replace("../signers", str(tmp_path / "allowed_signers"))
    done = subprocess.run(["sh", "-c", script], cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (unpacked / "SHA256SUMS").write_text("")
    assert subprocess.run(["sh", "-c", script], cwd=unpacked, capture_output=True, check=False).returncode != 0


def test_make_hands_the_key_on() -> None:
    command = ["make", "-n", "-o", ".venv/.ready", "bundle", "MODEL=x", "SIGN=a key"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert '--sign "a key"' in done.stdout


def test_unsigned_is_refused(unpacked: Path, keys: Path, refused: Refused) -> None:
    (unpacked / "SHA256SUMS.sig").unlink()
    refused(install(unpacked, "--require-signature", keys / "ours.pub"), "is not signed", "make bundle SIGN=key")
    assert passed(install(unpacked))


def test_another_key_is_refused(unpacked: Path, keys: Path, refused: Refused) -> None:
    done = install(unpacked, "--require-signature", keys / "other.pub")
    refused(done, "no key of", "other.pub", "made by another key")
    assert not (unpacked.parent / "prefix").exists()


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ('valid-after="20200101"', True),
        ('valid-before="20200101"', False),  # an old key, given up
        ('valid-after="20990101"', False),
        ('namespaces="git"', False),  # a key for something else
        ('namespaces="fer-edge,git"', True),
    ],
)
def test_keys_have_their_time_and_purpose(
    unpacked: Path, keys: Path, tmp_path: Path, refused: Refused, options: str, accepted: bool
) -> None:
    done = install(unpacked, "--require-signature", signers(tmp_path, ("fer-edge", options, keys / "ours.pub")))
    if accepted:
        assert passed(done)
    else:
        refused(done, "no key of", "/allowed_signers signed this archive", "(key ")
        assert "/dev/fd" not in done.stderr


def test_a_signature_for_another_purpose_is_refused(unpacked: Path, keys: Path, refused: Refused) -> None:
    (unpacked / "SHA256SUMS.sig").unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", keys / "ours", "-n", "file", unpacked / "SHA256SUMS"]
    subprocess.run(command, check=True, capture_output=True)
    refused(install(unpacked, "--require-signature", keys / "ours.pub"), "no key of")


def test_a_changed_list_is_refused(unpacked: Path, keys: Path, refused: Refused) -> None:
    (unpacked / "LICENSES.txt").write_text("changed\n")
    script = "sha256sum $(cut -c 67- SHA256SUMS) >new && mv new SHA256SUMS"
    subprocess.run(["sh", "-c", script], cwd=unpacked, check=True)
    assert passed(install(unpacked))
    refused(install(unpacked, "--require-signature", keys / "ours.pub"), "incorrect signature")


@pytest.mark.parametrize("change", ["bundle/manifest.json", "fer_edge-99-py3-none-any.whl", "bundle/x", "link"])
def test_a_changed_or_added_file_is_refused(unpacked: Path, keys: Path, refused: Refused, change: str) -> None:
    """Also without a signature: a wheel that nobody listed would be installed, a link could lead elsewhere later."""
    if change == "link":
        change = "bundle/manifest.json"
        (unpacked / change).rename(unpacked.parent / "elsewhere.json")
        (unpacked / change).symlink_to(unpacked.parent / "elsewhere.json")
    else:
        with (unpacked / change).open("ab") as file:
            file.write(b"\n")
    for options in ([], ["--require-signature", keys / "ours.pub"]):
        refused(install(unpacked, "--python", PYTHON, *options), change, "copy and unpack the archive again")
    assert not (unpacked.parent / "prefix").exists()


def test_what_others_can_change_is_refused_for_root(unpacked: Path, keys: Path, refused: Refused) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    asked = ["--require-signature", keys / "ours.pub"]
    os.chown(unpacked / "wheels" if (unpacked / "wheels").exists() else unpacked / "bundle", 65534, 65534)
    refused(install(unpacked, *asked), "others can change it")
    refused(install(unpacked), "others can change it")
    assert passed(install(unpacked, *asked, SUDO_UID="65534"))  # sudo: who asks is who owns it


def test_options_that_do_not_fit(unpacked: Path, keys: Path, tmp_path: Path, refused: Refused) -> None:
    refused(install(unpacked, "--require-signature"), "no value given")
    refused(install(unpacked, "--require-signature", tmp_path / "none"), "no such file")
    refused(install(unpacked, "--require-signature", keys / "ours.pub", "--uninstall"), "is for an installation")
    refused(install(unpacked, "--from", tmp_path / "none"), "--from", "none: no such folder")
    refused(install(unpacked, "--from", tmp_path), "no target.json")
    folder = tmp_path / "bin"  # this machine's programs without ssh-keygen
    folder.mkdir()
    for program in [program for place in ("/bin", "/usr/bin") for program in Path(place).iterdir()]:
        if program.name != "ssh-keygen" and not (folder / program.name).is_symlink():
            (folder / program.name).symlink_to(program)
    sh = str(shutil.which("sh"))
    command = [sh, str(unpacked / "install.sh"), "--prefix", str(tmp_path / "p"), "--require-signature"]
    done = subprocess.run(
        [*command, keys / "ours.pub"], capture_output=True, text=True, check=False, env={"PATH": str(folder)}
    )
    refused(done, "no ssh-keygen here; sudo apt install openssh-client")


def test_a_key_that_cannot_sign(bundle: Path, keys: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"SIGN=.*none: no such file.*ssh-keygen -t ed25519"):
        pack(bundle, tmp_path, key=keys / "none")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text").write_text("no key\n")
    with pytest.raises(ToolError, match=r"text: ssh-keygen cannot sign with it \(.+\)") as raised:
        sign(tmp_path / "text", tmp_path / "text")
    assert "\n" not in str(raised.value)
