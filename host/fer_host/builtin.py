"""The bundle inside fer-edge's wheel: the smallest good network and one detector, made from the shipped weights.

It is committed, so that a wheel of a fresh checkout holds it. ``fer-host builtin`` (``make builtin``) makes it again.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np

from fer_edge.contract.bundle import MANIFEST_NAME, Bundle, encode_file, open_bundle, write_bundle
from fer_edge.contract.errors import EdgeError
from fer_edge.contract.manifest import Manifest
from fer_host.errors import HostError
from fer_host.files.paths import BUILD, BUILTIN
from fer_host.pipeline import ConvertRequest, convert
from fer_host.recipe.recipe import load_detector

MODEL, VARIANT, DETECTOR = "fer48", "int8", "blazeface_short"
LARGEST_NETWORKS_BYTES = 600_000  # classifier and detector together
LARGEST_WHEEL_BYTES = 1_200_000


def make_builtin(out: Path = BUILTIN) -> tuple[Bundle, bool]:
    """Converts the shipped weights and keeps of the bundle what the wheel carries.

    Args:
        out: its folder.

    Returns:
        The bundle, and whether it was written; see ``put``.

    Raises:
        HostError: a gate does not hold, or the networks are too large.
    """
    whole = convert(ConvertRequest(MODEL, out=BUILD / "builtin", quiet=True)).bundle
    return put(*slim(whole, VARIANT, DETECTOR), out)


def put(manifest: Manifest, stored: dict[str, bytes], out: Path) -> tuple[Bundle, bool]:
    """Writes the bundle, unless the one there differs in nothing but the revision that it was made from.

    Args:
        manifest: of the bundle.
        stored: the files' bytes by role.
        out: its folder.

    Returns:
        The bundle that is there now, and whether it was written.

    Raises:
        HostError: the networks are too large for the wheel.
    """
    size = sum(len(content) for role, content in stored.items() if role != manifest.golden.file)
    if size > LARGEST_NETWORKS_BYTES:
        raise HostError(f"built-in bundle: {size} bytes of networks, expected at most {LARGEST_NETWORKS_BYTES}")
    known = _known(out)
    if known is not None and _same(known.manifest, manifest):
        return known, False
    return write_bundle(out, manifest, stored), True


def slim(bundle: Bundle, variant_id: str, detector_id: str) -> tuple[Manifest, dict[str, bytes]]:
    """Of a bundle, one variant and one detector: the manifest and the files' bytes by role.

    Raises:
        SchemaError: the bundle has no such variant or detector.
    """
    manifest = bundle.manifest
    variant, detector = (
        manifest.variant(variant_id),
        dataclasses.replace(manifest.find_detector(detector_id), int8=None),
    )
    contents = {role: bundle.read(role) for role in (variant.file, *detector.files)}
    contents[manifest.golden.file] = _golden_of(bundle.read(manifest.golden.file), variant_id)
    encoded = {role: encode_file(manifest.files[role].path, content) for role, content in contents.items()}
    others = {spec.id for spec in (manifest.detector, *manifest.other_detectors)} - {detector_id}
    foreign = {load_detector(name).license for name in others}
    slimmed = dataclasses.replace(
        manifest,
        default_variant=variant_id,
        variants=(variant,),
        detector=detector,
        other_detectors=(),
        files={role: entry for role, (entry, _) in encoded.items()},
        golden=dataclasses.replace(manifest.golden, tolerance_p={variant_id: manifest.golden.tolerance_p[variant_id]}),
        licenses=tuple(license for license in manifest.licenses if license not in foreign),
    )
    return slimmed, {role: content for role, (_, content) in encoded.items()}


def _golden_of(content: bytes, variant_id: str) -> bytes:
    """The golden file with the outputs of one variant alone."""
    kept = ("crops", "inputs", f"reference/{variant_id}", f"probabilities/{variant_id}")
    buffer = io.BytesIO()
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        np.savez_compressed(buffer, allow_pickle=False, **{name: archive[name] for name in kept})
    return buffer.getvalue()


def _known(path: Path) -> Bundle | None:
    """The bundle that is there; None where there is none, or one that is damaged and is to be made again."""
    if not (path / MANIFEST_NAME).is_file():
        return None
    try:
        return open_bundle(path)
    except EdgeError:
        return None


def _same(known: Manifest, made: Manifest) -> bool:
    """Whether two manifests say the same of the same bytes; the revision they were made from may differ."""
    commit = made.provenance.git_commit
    return dataclasses.replace(known, provenance=dataclasses.replace(known.provenance, git_commit=commit)) == made
