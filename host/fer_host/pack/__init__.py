"""``fer-host pack``: a bundle, the fer-edge wheel and its installer as one archive for ``scp``. Start at archive.py."""

from fer_host.pack.archive import pack

__all__ = ["pack"]
