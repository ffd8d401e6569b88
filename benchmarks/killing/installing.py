"""``install.sh``: a first installation, and an update of one that works; from an offline archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from killing.subject import ROOT, Subject

PYTHON = getattr(sys, "_base_executable", sys.executable)


class Install(Subject):
    """Into an empty prefix, until a run is whole."""

    waits = True  # the pip of a killed install.sh holds its lock

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.prefix, self.archive = folder / "prefix", folder / "archive"

    def prepare(self) -> None:
        """Unpacks what ``fer-host pack hawqc_mbv2 --target x86 --offline`` made."""
        made = sorted((ROOT / "dist").glob("hawqc_mbv2-*x86*.tar.gz"))
        if not made:
            raise SystemExit("kills: no archive; .venv/bin/fer-host pack hawqc_mbv2 --target x86 --offline")
        with tarfile.open(made[-1]) as tar:
            tar.extractall(self.folder / "unpacked", filter="data")
        next((self.folder / "unpacked").iterdir()).rename(self.archive)

    def command(self) -> list[str]:
        """As a user does."""
        return ["sh", str(self.archive / "install.sh"), "--prefix", str(self.prefix), "--python", PYTHON]

    def whole(self) -> list[str]:
        """There is no command, or it works."""
        command = self.prefix / "bin" / "fer-edge"
        if not command.exists():
            return []
        done = self.edge("--version")
        return [] if done.returncode == 0 else [f"fer-edge --version: status {done.returncode}: {done.stderr[-200:]}"]

    def finished(self) -> list[str]:
        """It verifies, and no unfinished version is left."""
        done, versions = self.edge("verify"), self.prefix / "versions"
        wrong = [] if done.returncode == 0 else [f"fer-edge verify: {done.stderr[-200:]}"]
        return wrong + [f"unfinished: {p.name}" for p in versions.iterdir() if not (p / "complete").exists()]

    def edge(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The installed command."""
        line = [str(self.prefix / "bin" / "fer-edge"), *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=self.environment(), cwd="/")

    def reset(self) -> None:
        """Nothing is installed; ours, in our folder."""
        shutil.rmtree(self.prefix, ignore_errors=True)


class Update(Install):
    """Another release over one that works, which must go on working."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.release = 0

    def prepare(self) -> None:
        """Installs the first release."""
        super().prepare()
        self.undisturbed()
        self.reset()

    def whole(self) -> list[str]:
        """The command works at every moment."""
        there = (self.prefix / "bin" / "fer-edge").exists() and (self.prefix / "current" / "complete").exists()
        return super().whole() if there else ["no command, or the current version is not complete"]

    def reset(self) -> None:
        """The archive becomes the next release."""
        self.release += 1
        _replace(self.archive / "LICENSES.txt", f"release {self.release}\n".encode())
        names = sorted(str(p.relative_to(self.archive)) for p in self.archive.rglob("*") if p.is_file())
        listed = [name for name in names if name != "SHA256SUMS"]
        done = subprocess.run(["sha256sum", *listed], cwd=self.archive, capture_output=True, check=True)
        _replace(self.archive / "SHA256SUMS", done.stdout)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)
