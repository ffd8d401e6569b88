"""``install.sh`` of an offline archive on 64-bit ARM: Debian's own Python, real wheels, no network.

The userland is unpacked packages under qemu's user-mode emulation, not an installed system; no service is started.
"""

from __future__ import annotations

import json
from pathlib import Path

from arm_roots import Root


def test_installed_from_an_offline_archive(bookworm: Root, archive: Path, tmp_path: Path, photos: Path) -> None:
    prefix, photo = tmp_path / "installed", photos / "photos-astronaut.png"
    places = [archive, tmp_path, photos]
    script = (archive / "install.sh", "--prefix", prefix)
    done = bookworm.run("/bin/sh", *script, binds=places, timeout_s=900, network=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is installed and verified" in done.stdout
    read = bookworm.run(prefix / "bin" / "fer-edge", "image", photo, "--json", "--tiles", "0", binds=places)
    assert read.returncode == 0, read.stderr
    assert [face["label"] for face in json.loads(read.stdout)[0]["faces"]] == ["happiness"]
    done = bookworm.run("/bin/sh", archive / "install.sh", "--uninstall", "--prefix", prefix, binds=places)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("installed/*"))
