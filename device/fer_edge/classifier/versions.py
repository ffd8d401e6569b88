"""Which version of a package is installed, by its folder's name.

``importlib.metadata`` takes 1.8 MB of memory (it brings Python's e-mail) for one word; it reads the same name.
"""

from __future__ import annotations

import os
import re
import sys

_ENDINGS = (".dist-info", ".egg-info")


def version_of(distribution: str) -> str | None:
    """The version of the installed ``distribution``, the one that an import finds; None where there is none.

    Args:
        distribution: as pip calls it.
    """
    stem = re.sub(r"[-_.]+", "_", distribution).lower()  # PEP 427, 491
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            base, ending = os.path.splitext(name)
            found, _, rest = base.partition("-")
            if ending in _ENDINGS and re.sub(r"[-_.]+", "_", found).lower() == stem and rest:
                return rest.partition("-")[0]  # an egg names its Python too
    return None
