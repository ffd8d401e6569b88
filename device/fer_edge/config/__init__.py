"""What ``fer-edge run`` does: one TOML file, every key of which is also a flag. Start at settings.py."""

from fer_edge.config.file import Loaded, as_toml, decode, default_files, load, parse, read
from fer_edge.config.flags import Flags, add_flags, given_flags
from fer_edge.config.settings import RELOADABLE, TABLES, Config, differences, keys

__all__ = [
    "RELOADABLE",
    "TABLES",
    "Config",
    "Flags",
    "Loaded",
    "add_flags",
    "as_toml",
    "decode",
    "default_files",
    "differences",
    "given_flags",
    "keys",
    "load",
    "parse",
    "read",
]
