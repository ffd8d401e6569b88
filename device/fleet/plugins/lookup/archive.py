"""What an archive of ``make bundle`` says of itself, read where Ansible runs: nothing of it is unpacked or run."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: archive
author: fer-edge
version_added: 0.1.0
short_description: What an archive of make bundle says of itself
description:
  - Reads C(target.json) and C(SHA256SUMS) of an archive, where Ansible runs.
options:
  _terms:
    description: paths of archives.
    required: true
    type: list
    elements: path
"""
EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('fer_edge.fleet.archive', 'hawqc_mbv2-0.1.0-pi-trixie-offline.tar.gz').name }}"
"""
RETURN = """
_list:
  description:
    - A dictionary for each archive.
    - C(path), C(folder) (the one that it unpacks to), C(name) (the version's folder on a board), C(model_id),
      C(version), C(target), C(machine) and C(python) (empty where the archive suits every machine), C(install_bytes),
      C(offline) and C(signed).
  type: list
  elements: dict
"""
SCHEMA = "fer-edge/target/1"
LARGEST = 1 << 20  # bytes of target.json or SHA256SUMS that are read


class LookupModule(LookupBase):
    """``lookup('fer_edge.fleet.archive', PATH)``."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Gives a dictionary for each path."""
        return [_about(Path(self._loader.path_dwim(str(term)))) for term in terms]


def _about(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise AnsibleLookupError(f"{path}: no such file; expected an archive of `make bundle OFFLINE=1`")
    found: dict[str, bytes] = {}
    folder, signed = "", False
    try:
        with tarfile.open(path) as tar:
            for member in tar:  # not to its end, where the wheels are: in the order of their names
                if len(found) == 2 and not member.name.partition("/")[2].startswith("SHA256SUMS"):
                    break
                folder, _, inner = member.name.partition("/")
                signed = signed or inner == "SHA256SUMS.sig"
                if inner in ("target.json", "SHA256SUMS") and member.isfile():
                    file = tar.extractfile(member)
                    found[inner] = file.read(LARGEST) if file else b""
        document = json.loads(found["target.json"])
        if document["schema"] != SCHEMA:
            raise AnsibleLookupError(f"{path}: target.json: found {document['schema']!r}, expected {SCHEMA}")
        digest = hashlib.sha256(found["SHA256SUMS"]).hexdigest()[:12]  # as install.sh names it
        return {
            "path": str(path),
            "folder": folder,
            "name": f"{document['model_id']}-{document['version']}-{digest}",
            "model_id": document["model_id"],
            "version": document["version"],
            "target": document["target"] or "",
            "machine": document["machine"] or "",
            "python": document["python"] or "",
            "install_bytes": int(document["install_bytes"]),
            "offline": bool(document["offline"]),
            "signed": signed,
        }
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        remedy = "pack it again with `make bundle OFFLINE=1`"
        raise AnsibleLookupError(f"{path}: cannot be read ({why}); {remedy}") from error
