"""Signatures of archives, by OpenSSH's own tool: a key that signs commits or opens shells can sign bundles too.

What is signed is SHA256SUMS, which lists every file of an archive.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from fer_host.errors import PackError, ToolError

NAMESPACE = "fer-edge"  # a signature made for another purpose with the same key is none of an archive
REMEDY = "make one with: ssh-keygen -t ed25519 -f release-key"


def check_key(key: Path) -> None:
    """Refuses what cannot sign before anything is built.

    Raises:
        PackError: there is no such key.
        ToolError: there is no ssh-keygen.
    """
    if shutil.which("ssh-keygen") is None:
        raise ToolError("SIGN: no ssh-keygen here; sudo apt install openssh-client")
    if not key.is_file():
        raise PackError(f"SIGN={key}: no such file, expected a private key of OpenSSH; {REMEDY}")


def sign(file: Path, key: Path) -> Path:
    """Writes ``file``'s detached signature beside it, as ``<name>.sig``; a passphrase is asked for at the terminal.

    Args:
        file: what is signed.
        key: a private key, or the public one of a key that an agent holds.

    Raises:
        ToolError: ssh-keygen could not sign with it.
    """
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    target = file.with_name(f"{file.name}.sig")
    if done.returncode or not target.is_file():
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ToolError(f"SIGN={key}: ssh-keygen cannot sign with it ({reason}); {REMEDY}")
    return target
