"""Where frames come from: a file, a folder of photos, a camera, or drawn faces. ``open_source`` takes a URI."""

from __future__ import annotations

from fer_edge.sources.uri import CAMERAS, SourceUri, open_source, parse_uri

__all__ = ["CAMERAS", "SourceUri", "open_source", "parse_uri"]
