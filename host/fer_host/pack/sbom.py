"""An archive's bill of materials, by the CycloneDX project's own library; the same archive gives the same bytes."""

from __future__ import annotations

import datetime
import json
import uuid

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from fer_host.pack.parts import OWN_LICENSE, Part
from fer_host.pack.wheels import EPOCH

_TYPES = {
    "wheel": ComponentType.LIBRARY,
    "library": ComponentType.LIBRARY,
    "network": ComponentType.MACHINE_LEARNING_MODEL,
    "data": ComponentType.DATA,
    "file": ComponentType.FILE,
}


def sbom_text(name: str, version: str, parts: list[Part]) -> str:
    """The document, CycloneDX 1.6 in JSON.

    Args:
        name: of the archive.
        version: of the bundle in it.
        parts: everything in it.
    """
    root = Component(
        type=ComponentType.APPLICATION,
        name=name,
        version=version,
        bom_ref=name,
        licenses=[LicenseFactory().make_from_string(OWN_LICENSE)],
    )
    components = [_component(part) for part in parts]
    # neither the time nor chance: both would make another archive of the same files
    digests = json.dumps([[part.path, part.sha256] for part in parts])
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"fer-edge {name} {digests}"),
        metadata=BomMetaData(
            component=root,
            tools=ToolRepository(components=[this_component()]),
            timestamp=datetime.datetime.fromtimestamp(int(EPOCH), datetime.timezone.utc),
        ),
        components=components,
    )
    bom.register_dependency(root, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(part: Part, within: str = "") -> Component:
    place = f"{within}!/{part.path}" if within else part.path
    return Component(
        type=_TYPES[part.kind],
        name=part.name,
        version=part.version or None,
        bom_ref=place,
        description=part.origin or None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        licenses=[LicenseFactory().make_from_string(part.license)],
        purl=PackageURL("pypi", name=part.name, version=part.version) if part.kind == "wheel" else None,
        properties=[Property(name="fer-edge:path", value=place)],
        components=[_component(inner, place) for inner in part.inside],
    )
