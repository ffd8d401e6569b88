"""Where frames come from: a file, a folder of photos, a camera, or drawn faces. Start with the table in ``open.py``."""

from __future__ import annotations

from fer_edge.sources.open import SCHEMES, open_source, opener, parse_uri
from fer_edge.sources.uri import Playback, SourceUri

__all__ = ["SCHEMES", "Playback", "SourceUri", "open_source", "opener", "parse_uri"]
