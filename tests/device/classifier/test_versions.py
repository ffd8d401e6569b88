"""The version of a package from the name of its folder is the one that importlib.metadata tells."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from fer_edge.classifier.versions import version_of


@pytest.mark.parametrize("name", ["numpy", "ai-edge-litert", "AI_Edge.LiteRT", "opencv-python-headless", "fer-edge"])
def test_as_importlib_metadata(name: str):
    try:
        expected = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    assert version_of(name) == expected


def test_first_on_the_path_counts_and_eggs_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder, names in (
        ("a", ["tflite_runtime-2.14.0-py3.11.egg-info", "tflite_runtime_extra-1.0.dist-info"]),
        ("b", ["tflite_runtime-2.13.0.dist-info"]),
    ):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "absent"), str(tmp_path / "a"), str(tmp_path / "b")])
    assert version_of("tflite-runtime") == "2.14.0"
    assert version_of("tflite-runtime-extra") == "1.0"
    assert version_of("tflite") is None
