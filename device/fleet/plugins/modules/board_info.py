#!/usr/bin/python
"""What is installed on a board and how its service goes. Reads only; runs on the board, with the standard library."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: board_info
author: fer-edge
version_added: 0.1.0
short_description: What is installed on a board and how its service goes
description:
  - Reads only; changes nothing, also without check mode.
options:
  prefix:
    description: where fer-edge is, or would be, installed.
    type: path
    default: /opt/fer-edge
  stage:
    description: folder in which a roll-out keeps what it needs on the board.
    type: path
    default: /var/lib/fer-edge-fleet
  verify:
    description: also replay the golden vectors (C(fer-edge verify)).
    type: bool
    default: false
  files:
    description:
      - files that F(/etc/fer-edge) should hold, by name; each is the hexadecimal sha256 of O(salt) and its content.
    type: dict
    default: {}
  salt:
    description: what is put before a content, so that nobody guesses a short secret from its digest.
    type: str
    default: ""
  python:
    description: the Python that fer-edge would be installed for.
    type: path
    default: /usr/bin/python3
"""
EXAMPLES = """
- name: Look
  fer_edge.fleet.board_info:
    verify: true
  register: board
"""
RETURN = """
version:
  description: the version in use, its folder's name in PREFIX/versions; empty where there is none.
  type: str
  returned: always
previous:
  description: the version that a rollback would take, or empty.
  type: str
  returned: always
verifies:
  description: whether the version in use computes its golden vectors; null where it was not asked.
  type: bool
  returned: always
problem:
  description: why it does not.
  type: str
  returned: always
machine:
  description: as C(uname -m) says it.
  type: str
  returned: always
python:
  description: version of the board's Python, e.g. C(3.13).
  type: str
  returned: always
service:
  description: C(unit) (sha256 of its file or empty), C(enabled), C(active), C(status) (its own words).
  type: dict
  returned: always
differs:
  description: which of O(files) are missing, hold something else, or can be read by others.
  type: list
  elements: str
  returned: always
foreign:
  description: whether somebody else than this collection wrote the board's configuration.
  type: bool
  returned: always
waiting:
  description: whether the board would go back by itself, since an earlier roll-out was not confirmed.
  type: bool
  returned: always
free_bytes:
  description: free space where the prefix and where the stage is or would be made.
  type: dict
  returned: always
"""
CONFIGURATION = "/etc/fer-edge"
MARK = b"# Written by the collection fer_edge.fleet"  # roles/fer_edge/templates/config.toml.j2
UNIT = "/etc/systemd/system/fer-edge.service"


def link(path: str) -> str:
    """The last part of where a link leads; "" where there is none."""
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else ""


def free(path: str) -> int:
    """Free bytes of the file system that a path is, or will be, on."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    about = os.statvfs(path)
    return about.f_bavail * about.f_frsize


def said(module: AnsibleModule, *line: str) -> tuple[int, str]:
    """Runs a command; gives its status and its output's last line, or what it complained of."""
    try:
        status, out, err = module.run_command(list(line), environ_update={"PYTHONDONTWRITEBYTECODE": "1"}, cwd="/")
    except OSError as error:
        return 127, str(error)
    words = ((out if status == 0 else err) or out or err).strip().splitlines()
    return status, words[-1] if words else ""


def service(module: AnsibleModule) -> dict[str, object]:
    """How the unit goes."""
    found: dict[str, object] = {"unit": "", "enabled": False, "active": False, "status": ""}
    if not os.path.isfile(UNIT):
        return found
    with open(UNIT, "rb") as file:
        found["unit"] = hashlib.sha256(file.read()).hexdigest()
    if shutil.which("systemctl"):
        found["enabled"] = said(module, "systemctl", "is-enabled", "fer-edge")[1] == "enabled"
        found["active"] = said(module, "systemctl", "is-active", "fer-edge")[1] == "active"
        found["status"] = said(module, "systemctl", "show", "fer-edge", "--property=StatusText", "--value")[1]
    return found


def python_version(module: AnsibleModule, python: str) -> str:
    """major.minor of the Python that would be used; "" where it cannot be run."""
    status, version = said(module, python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    return version if status == 0 else ""


def differing(wanted: dict[str, str], salt: str) -> list[str]:
    """Names of the files that are not as wanted."""
    found = []
    for name in sorted(wanted):
        path = os.path.join(CONFIGURATION, os.path.basename(name))
        try:
            with open(path, "rb") as file:
                same = hashlib.sha256(salt.encode() + file.read()).hexdigest() == wanted[name]
                same = same and not os.fstat(file.fileno()).st_mode & 0o007
        except OSError:
            same = False
        if not same:
            found.append(name)
    return found


def foreign() -> bool:
    """The configuration is there, and not ours."""
    try:
        with open(os.path.join(CONFIGURATION, "config.toml"), "rb") as file:
            return not file.readline().startswith(MARK)
    except OSError:
        return False


def main() -> None:
    """The module."""
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "default": "/opt/fer-edge"},
            "stage": {"type": "path", "default": "/var/lib/fer-edge-fleet"},
            "verify": {"type": "bool", "default": False},
            "files": {"type": "dict", "default": {}},
            "salt": {"type": "str", "default": "", "no_log": False},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        supports_check_mode=True,
    )
    prefix, stage = module.params["prefix"], module.params["stage"]
    version = link(os.path.join(prefix, "current"))
    verifies, problem = None, ""
    if version and module.params["verify"]:
        status, words = said(module, os.path.join(prefix, "current", "fer-edge"), "verify")
        verifies, problem = status == 0, "" if status == 0 else words
    module.exit_json(
        changed=False,
        version=version,
        previous=link(os.path.join(prefix, "previous")),
        verifies=verifies,
        problem=problem,
        machine=platform.machine(),
        python=python_version(module, module.params["python"]),
        service=service(module),
        differs=differing(module.params["files"], module.params["salt"]),
        foreign=foreign(),
        waiting=os.path.exists(os.path.join(stage, "restore.pid")),
        free_bytes={"prefix": free(prefix), "stage": free(stage)},
    )


if __name__ == "__main__":
    main()
