"""What an archive's lists of parts say: terms of networks and detectors, what is inside a wheel, the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.manifest import Manifest
from fer_host.files.paths import BUILTIN
from fer_host.pack.licenses import licenses_text
from fer_host.pack.parts import Part, archive_parts, bundle_parts, wheel_part
from fer_host.pack.sbom import sbom_text


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return open_bundle(BUILTIN).manifest


def parts_of(manifest: Manifest) -> dict[str, Part]:
    found = bundle_parts(manifest, "bundle/", lambda name: (BUILTIN / name.removeprefix("bundle/")).read_bytes())
    return {part.path: part for part in found}


def test_each_file_of_a_bundle_has_its_own_terms(manifest: Manifest) -> None:
    parts = parts_of(manifest)
    files = {f"bundle/{path.relative_to(BUILTIN)}" for path in BUILTIN.rglob("*") if path.is_file()}
    assert set(parts) == files
    assert parts["bundle/fer48.int8.tflite"].license == "LicenseRef-research-weights"
    assert parts["bundle/detector/blazeface_short.tflite"].license == "Apache-2.0"
    assert "MediaPipe" in parts["bundle/detector/blazeface_short.tflite"].origin
    assert "public" in parts["bundle/golden.npz"].license
    for path, part in parts.items():
        assert part.sha256 == hashlib.sha256((BUILTIN / path.removeprefix("bundle/")).read_bytes()).hexdigest()


def test_a_detector_that_is_not_known_here_has_the_terms_of_the_bundle(manifest: Manifest) -> None:
    other = dataclasses.replace(manifest, detector=dataclasses.replace(manifest.detector, id="another"))
    part = parts_of(other)["bundle/detector/blazeface_short.tflite"]
    assert part.license == "Apache-2.0 AND LicenseRef-research-weights"


def wheel(folder: Path, stem: str, *about: str, files: tuple[str, ...] = ()) -> Path:
    name, version = stem.split("-")
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        text = "\n".join([f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}", *about])
        archive.writestr(f"{stem}.dist-info/METADATA", text + "\n")
        for file in files:
            archive.writestr(file, file)
    return path


@pytest.mark.parametrize(
    ("about", "license"),
    [
        (["License-Expression: MPL-2.0 AND MIT", "License: MIT"], "MPL-2.0 AND MIT"),
        (["License: Apache 2.0"], "Apache-2.0"),
        (["License: Copyright (c) somebody", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["Classifier: License :: OSI Approved :: BSD License"], "BSD License"),
        (["License: Own words"], "Own words"),
        ([], "see the wheel"),
    ],
)
def test_the_terms_of_a_wheel(tmp_path: Path, about: list[str], license: str) -> None:
    assert wheel_part(wheel(tmp_path, "x-1.0", *about), tmp_path).license == license


def test_libraries_that_a_wheel_brings_are_named(tmp_path: Path) -> None:
    files = ("x.libs/libssl-28bef1ac.so.1.1", "x/own.so", "x.libs/readme.txt")
    path = wheel(tmp_path, "x-1.0", "License-File: LICENSE.txt", "License-File: LICENSE-3RD-PARTY.txt", files=files)
    (library,) = wheel_part(path, tmp_path).inside
    assert (library.name, library.license) == ("libssl-28bef1ac.so.1.1", "see LICENSE-3RD-PARTY.txt in the wheel")
    assert library.sha256 == hashlib.sha256(files[0].encode()).hexdigest()


def test_the_documents_have_every_wheel_and_are_the_same_each_time(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(BUILTIN)
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "some_thing-2.5", "License-Expression: MIT")
    wheel(tmp_path, "fer_edge-0.1.0", "License-Expression: Apache-2.0")
    parts = archive_parts(tmp_path, manifest)
    assert "- some_thing 2.5: MIT\n" in licenses_text(manifest, parts)
    text = sbom_text("name", "0.1.0", parts)
    assert sbom_text("name", "0.1.0", archive_parts(tmp_path, manifest)) == text
    document = json.loads(text)
    found = {component["bom-ref"]: component for component in document["components"]}
    assert found["wheels/some_thing-2.5-py3-none-any.whl"]["purl"] == "pkg:pypi/some-thing@2.5"
    assert found["wheels/some_thing-2.5-py3-none-any.whl"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert os.fspath(tmp_path) not in text
    wheel(tmp_path / "wheels", "some_thing-2.5", "License-Expression: BSD-3-Clause")
    other = json.loads(sbom_text("name", "0.1.0", archive_parts(tmp_path, manifest)))
    assert other["serialNumber"] != document["serialNumber"]
