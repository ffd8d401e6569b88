"""What really runs, as sinks tell it: after flags, configuration, ``fer-edge tune`` and the bundle's defaults."""

from __future__ import annotations

from dataclasses import dataclass

from fer_edge.contract.manifest import Manifest
from fer_edge.setting.setting import Setting


@dataclass(frozen=True)
class Running:
    """See ``what_runs``.

    Args:
        model: id of the bundle's model.
        model_version: of the bundle.
        variant: of the classifier.
        detector: of faces.
        source: as messages show it.
    """

    model: str
    model_version: str
    variant: str
    detector: str
    source: str = ""


def what_runs(manifest: Manifest, setting: Setting, source: str = "") -> Running:
    """Of the setting that the pipeline was opened with, never of what was asked for."""
    return Running(manifest.model_id, manifest.version, setting.variant, setting.detector, source)
