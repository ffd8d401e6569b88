"""The machines an archive is made for: what decides which wheels run there.

Python and glibc are those of the system's own packages; ``system_numpy`` is the NumPy that its camera packages use.
"""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import dataclass

from packaging import tags

from fer_host.errors import PackError

SCHEMA = "fer-edge/target/1"
_OLDEST_GLIBC = 17  # manylinux2014, the oldest that current wheels name


@dataclass(frozen=True)
class Target:
    """A kind of machine.

    Attributes:
        name: as in ``TARGET=``.
        machine: "aarch64" or "x86_64", as ``uname -m`` says it.
        python: (major, minor) of the system's Python.
        glibc_minor: of the system's glibc 2.x.
        system_numpy: version of the system's own NumPy package; "" where none is expected.
    """

    name: str
    machine: str
    python: tuple[int, int]
    glibc_minor: int
    system_numpy: str

    @property
    def python_version(self) -> str:
        """For pip's ``--python-version``."""
        return f"{self.python[0]}.{self.python[1]}"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the wheels that run there, newest glibc first."""
        numbered = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc_minor, _OLDEST_GLIBC - 1, -1)]
        return (*numbered, f"manylinux2014_{self.machine}")

    @property
    def tags(self) -> frozenset[tags.Tag]:
        """Every wheel tag that its pip accepts."""
        abi = f"cp{self.python[0]}{self.python[1]}"
        return frozenset(
            (
                *tags.cpython_tags(self.python, [abi], self.platforms),
                *tags.compatible_tags(self.python, abi, self.platforms),
            )
        )

    @property
    def own_pins(self) -> tuple[str, ...]:
        """Pins that replace those of constraints.txt: NumPy 1 where the system's packages are built for it.

        numpy 2 breaks Debian bookworm's picamera2, and ml_dtypes 0.6 asks for numpy 2.
        """
        return ("numpy==1.26.4", "ml_dtypes==0.5.4") if self.python < (3, 13) else ()


TARGETS = {
    target.name: target
    for target in (
        Target("pi-bookworm", "aarch64", (3, 11), 36, "1.24.2"),
        Target("pi-trixie", "aarch64", (3, 13), 41, "2.2.4"),
        Target("jetson-jp6", "aarch64", (3, 10), 35, "1.21.5"),
        Target("x86-trixie", "x86_64", (3, 13), 41, "2.2.4"),
        Target("x86", "x86_64", sys.version_info[:2], 31, ""),
    )
}


def find_target(name: str) -> Target:
    """The named target; raises PackError with the names there are."""
    if name not in TARGETS:
        near = difflib.get_close_matches(name, TARGETS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise PackError(f"TARGET {name!r}: not known, expected one of {', '.join(TARGETS)}{hint}")
    return TARGETS[name]


def target_document(model_id: str, version: str, target: Target | None, offline: bool, install_bytes: int) -> str:
    """``target.json`` of an archive, by which install.sh refuses the wrong machine.

    Args:
        model_id: of the bundle.
        version: of the bundle.
        target: None where the archive suits every machine.
        offline: the archive brings every wheel.
        install_bytes: free disk space that an installation needs.
    """
    document = {
        "schema": SCHEMA,
        "model_id": model_id,
        "version": version,
        "target": target.name if target else None,
        "machine": target.machine if target else None,
        "python": target.python_version if target else None,
        "offline": offline,
        "install_bytes": install_bytes,
    }
    return json.dumps(document, indent=2) + "\n"
