"""``make release``: everything that a release consists of, in one folder; the same commit gives the same bytes.

The wheel with its bill of materials, the kit's source, an archive per bundle and target, notes, and the digests of all.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from fer_edge import __version__
from fer_edge.contract.replace import check_replaceable, replace_folder
from fer_host.errors import PackError, ToolError
from fer_host.files.paths import CHANGELOG, ROOT
from fer_host.pack.archive import SUMS, pack
from fer_host.pack.parts import wheel_part
from fer_host.pack.sbom import sbom_text
from fer_host.pack.wheels import EPOCH, build_wheel

NOTES = "NOTES.md"
_HOW = """## Install

- In any Python 3.10 to 3.13: `pip install './{wheel}[opencv,litert]'`, then `fer-edge image photo.jpg`.
- On a board: unpack one of the archives there and run `sh install.sh`; it checks every digest first.
- The host tools: unpack the source and run `make convert MODEL=hawqc_mbv2` in it.

`sha256sum --check SHA256SUMS` checks these files.
"""


def make_release(bundles: Sequence[Path], targets: Sequence[str], out: Path, key: Path | None = None) -> Path:
    """Writes the folder ``out``, whole or not at all; an older release there is replaced.

    Args:
        bundles: folders of bundles, one archive each that needs a network.
        targets: for each bundle and each of these also an archive with every dependency, see TARGETS.
        out: the folder.
        key: of OpenSSH, signs the archives.

    Raises:
        PackError: no section of this version in CHANGELOG.md, an unknown target, or ``out`` holds other things.
        BundleError: a bundle that is not sound.
        ToolError: pip or git failed.
    """
    check_replaceable(out, _made)
    notes = section(CHANGELOG.read_text(encoding="utf-8"), __version__)

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            built = build_wheel(Path(scratch))
            wheel = folder / built.name
            wheel.write_bytes(built.read_bytes())
        sbom = sbom_text("fer-edge", __version__, [wheel_part(wheel, folder)])
        (folder / f"{wheel.stem}.cdx.json").write_text(sbom)
        commit = _source(folder / f"fer-edge-{__version__}-source.tar.gz")
        for bundle in bundles:
            pack(bundle, folder, key=key)
            for target in targets:
                pack(bundle, folder, target, offline=True, key=key)
        files = sorted(path for path in folder.iterdir())
        about = f"# fer-edge {__version__}\n\nMade from commit {commit}.\n\n{notes}\n{_HOW.format(wheel=wheel.name)}"
        (folder / NOTES).write_text(f"{about}\n{_table(files)}", encoding="utf-8")
        sums = [f"{_sha256(path)}  {path.name}\n" for path in [*files, folder / NOTES]]
        (folder / SUMS).write_text("".join(sorted(sums, key=lambda line: line.partition("  ")[2])))

    replace_folder(out, fill, _made)
    return out


def section(changelog: str, version: str) -> str:
    """What CHANGELOG.md says of a version, without its heading.

    Raises:
        PackError: it says nothing.
    """
    found = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise PackError(f"CHANGELOG.md: says nothing of {version}; expected a section `## [{version}] - DATE`")
    return found[1].strip() + "\n"


def _table(files: Sequence[Path]) -> str:
    lines = ["## Files", "", "| file | bytes | sha256 |", "|---|---|---|"]
    lines += [f"| {path.name} | {path.stat().st_size:,} | `{_sha256(path)}` |" for path in files]
    return "\n".join(lines) + "\n"


def _source(target: Path) -> str:
    """Packs what is committed; gives the commit, and says where the tree has changes that are in the wheel alone.

    Raises:
        ToolError: this is no git checkout.
    """
    prefix = f"--prefix={target.name.removesuffix('-source.tar.gz')}/"
    packed = gzip.compress(_git("archive", "--format=tar", prefix, "HEAD"), compresslevel=6, mtime=int(EPOCH))
    target.write_bytes(packed)
    changed = _git("status", "--porcelain", "--untracked-files=no").decode().splitlines()
    commit = _git("rev-parse", "HEAD").decode().strip()
    return f"{commit}, with changes in {len(changed)} files that are not committed" if changed else commit


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ToolError("git: not installed; a release is made from a git checkout") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ToolError(
            f"git {arguments[0]}: failed ({said[-1] if said else done.returncode}); expected a git checkout"
        )
    return done.stdout


def _made(folder: Path) -> Collection[str]:
    """The files of an older release: those that its digests list."""
    sums = folder / SUMS
    if not sums.is_file():
        raise PackError(f"output {folder}: is not empty and holds no release; expected a new or empty folder")
    names = [line.split("  ", 1)[1] for line in sums.read_text().splitlines() if "  " in line]
    return {SUMS, *names}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
