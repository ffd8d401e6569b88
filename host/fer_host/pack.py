"""``fer-host pack``: a bundle and the fer-edge wheel as one archive for ``scp``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from fer_edge.contract.bundle import open_bundle
from fer_host.errors import ToolError
from fer_host.paths import ROOT


def pack(bundle_path: Path, out: Path) -> Path:
    """Writes ``<model>-<version>.tar.gz``, complete or not at all.

    Raises:
        BundleError: there is no sound bundle at ``bundle_path``.
        ToolError: the wheel could not be built.
    """
    bundle = open_bundle(bundle_path)
    name = f"{bundle.manifest.model_id}-{bundle.manifest.version}"
    target = out / f"{name}.tar.gz"
    out.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _wheel(Path(scratch))
        try:
            with tarfile.open(temporary, "w:gz") as archive:
                archive.add(bundle.path, arcname=f"{name}/bundle")
                archive.add(wheel, arcname=f"{name}/{wheel.name}")
                archive.add(ROOT / "LICENSE", arcname=f"{name}/LICENSE")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def _wheel(scratch: Path) -> Path:
    # built from a copy: setuptools would leave a build folder in the tree and take its stale files next time
    source = shutil.copytree(ROOT / "device", scratch / "device", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ToolError(f"wheel of device/: pip failed ({last}); `make .venv/.ready` restores the environment")
    return wheels[0]
