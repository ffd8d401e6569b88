"""LICENSES.txt of an archive: the terms of everything in it that is not the project's own, for people."""

from __future__ import annotations

from fer_edge.contract.manifest import Manifest
from fer_host.pack.parts import OWN_LICENSE, Part


def licenses_text(manifest: Manifest, parts: list[Part]) -> str:
    """The text; the same list as the archive's CycloneDX document, without digests."""
    lines = [f"fer-edge itself: {OWN_LICENSE}, see LICENSE.", "", f"The bundle {manifest.model_id} {manifest.version}:"]
    lines += [f"- {entry.component}: {entry.license}\n  {entry.origin}" for entry in manifest.licenses]
    lines += ["", "Its files:", *(_line(part) for part in parts if part.path.startswith("bundle/"))]
    wheels = [part for part in parts if part.kind == "wheel"]
    if len(wheels) > 1:
        lines += ["", "The wheels, unchanged as published on pypi.org (each holds its license's full text):"]
        lines += [_line(part) for part in wheels if part.name != "fer-edge"]
    for wheel in wheels:
        if wheel.inside:
            lines += ["", f"Inside {wheel.path}:", *(_line(part) for part in wheel.inside)]
    return "\n".join(lines) + "\n"


def _line(part: Part) -> str:
    return f"- {' '.join(filter(None, (part.name, part.version if part.kind == 'wheel' else '')))}: {part.license}"
