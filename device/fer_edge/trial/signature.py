"""Who packed an archive: its signature by OpenSSH's own tool, as ``install.sh --require-signature`` asks for it.

The archive is read in a child that is shut in, and here only its list of digests and the signature of that list are
used, by ``ssh-keygen``.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path

from fer_edge.contract import bounds
from fer_edge.contract.regular import read_regular
from fer_edge.errors import BundleError, EdgeError, UsageError
from fer_edge.program.child import Limits, ask, confine, say
from fer_edge.trial.archive import listed

FLAG = "--require-signature"
NAMESPACE = "fer-edge"  # also who the signers are in ssh-keygen's list
_KEY = re.compile(rb"^(?:ssh|ecdsa|sk)-.*$", re.MULTILINE)


def check(archive: Path, signers: Path) -> tuple[str, str]:
    """Whether every file in an archive is as somebody signed it whose key is known.

    Args:
        archive: of ``make bundle SIGN=key``.
        signers: one public key, or ssh-keygen's list of allowed signers, whose lines begin with fer-edge.

    Returns:
        The digest of the bundle that was signed, and what ssh-keygen says of the key.

    Raises:
        UsageError: no such file of keys, or no ssh-keygen.
        BundleError: not signed, signed by another key, or changed.
    """
    try:
        keys = read_regular(signers, bounds.SIGNERS_BYTES)
    except OSError as error:
        raise UsageError(f"{FLAG} {signers}: {error.strerror}; expected a public key or a list of signers") from error
    if shutil.which("ssh-keygen") is None:
        raise UsageError(f"{FLAG}: no ssh-keygen here; sudo apt install openssh-client")
    if not archive.is_file():
        raise UsageError(
            f"{FLAG}: {archive} is no archive; the signature is of one as `make bundle SIGN=key` packed it"
        )
    limits = (str(bounds.TRIAL_MEMORY_BYTES), str(bounds.TRIAL_CPU_S))
    answers, ending = ask(__name__, str(archive), *limits, wall_s=bounds.TRIAL_WALL_S)
    last = answers[-1] if answers else {}
    if "problem" in last:
        raise BundleError(str(last["problem"]))
    if ending or "list" not in last:
        raise BundleError(f"archive {archive}: reading it ended the process that tried ({ending or 'no answer'})")
    key = _KEY.search(keys)
    allowed = f"{NAMESPACE} ".encode() + key[0] + b"\n" if key else keys
    return str(last["manifest"]), _signed_by(archive, signers, allowed, *_decoded(last))


def _decoded(answer: dict[str, object]) -> tuple[bytes, bytes]:
    return base64.b64decode(str(answer["list"])), base64.b64decode(str(answer["signature"]))


def _signed_by(archive: Path, signers: Path, allowed: bytes, content: bytes, signature: bytes) -> str:
    """What ssh-keygen says of a signature that holds; its files are in memory, so that none is left behind."""
    with open(os.memfd_create("signers"), "wb", 0) as keys, open(os.memfd_create("signature"), "wb", 0) as made:
        keys.write(allowed)
        made.write(signature)
        line = ["ssh-keygen", "-Y", "verify", "-f", f"/proc/self/fd/{keys.fileno()}", "-I", NAMESPACE]
        line += ["-n", NAMESPACE, "-s", f"/proc/self/fd/{made.fileno()}"]
        try:
            done = subprocess.run(
                line,
                input=content,
                capture_output=True,
                check=False,
                timeout=bounds.COMMAND_S,
                pass_fds=(keys.fileno(), made.fileno()),
            )
        except subprocess.TimeoutExpired as error:
            raise BundleError(f"archive {archive}: ssh-keygen did not end within {bounds.COMMAND_S:g} s") from error
    said = (done.stdout if done.returncode == 0 else done.stderr).decode(errors="replace").strip().splitlines()
    text = re.sub(r"^/proc/self/fd/\d+:\d+: ", "", said[-1]) if said else ""
    if done.returncode == 0:
        return text
    raise BundleError(
        f"archive {archive}: no key of {signers} signed it as it is ({text or 'made by another key'}); get the archive "
        "again, or ask who packed it for their public key"
    )


def main(arguments: list[str]) -> None:
    """The child's side: reads the archive, writes nothing."""
    path, memory_bytes, cpu_s = arguments
    try:
        confine(Limits(int(memory_bytes), int(cpu_s), bounds.ANSWER_BYTES))
        content, signature, manifest = listed(Path(path))
    except MemoryError:
        say(problem=f"archive {path}: takes more than {int(memory_bytes) >> 20} MB of memory to read; do not use it")
    except Exception as error:  # whatever an archive makes of it is the finding
        text = " ".join(f"{type(error).__name__}: {error}".split())
        say(problem=str(error) if isinstance(error, EdgeError) else f"archive {path}: {text}")
    else:
        encoded = (base64.b64encode(each).decode() for each in (content, signature))
        say(manifest=manifest, **dict(zip(("list", "signature"), encoded, strict=True)))
