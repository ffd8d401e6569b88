"""fer-edge: facial expression recognition on small computers (the device side).

For other programs; ``docs/library.md`` shows how. Each name is imported when it is first used, so that
``fer-edge --help`` answers at once; types are in ``__init__.pyi``.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "open_reader": "library.reader",
    "open_source": "library.source",
    "Reader": "library.reader",
    "Frame": "types",
    "Reading": "library.reading",
    "Face": "library.reading",
    "annotate": "library.drawing",
    "blur": "library.drawing",
    "TrackSettings": "tracking.track",
    "JsonlSink": "library.sinks",
    "MqttSink": "library.sinks",
    "reading_schema": "library.reading",
    "EdgeError": "errors",
    "BundleError": "errors",
    "ConfigError": "errors",
    "ImageError": "errors",
    "LandmarkError": "errors",
    "RunnerError": "errors",
    "SchemaError": "errors",
    "SourceError": "errors",
    "UsageError": "errors",
    "VerifyError": "errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> object:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'fer_edge' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"fer_edge.{module}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
