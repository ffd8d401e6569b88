"""``fer-edge info``: what a bundle holds, for readers."""

from __future__ import annotations

import argparse

from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.labels import LabelSet
from fer_edge.contract.specs import DetectorSpec
from fer_edge.setting.find import find_bundle


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; gives the exit status."""
    print(describe(open_bundle(find_bundle(arguments.bundle))))
    return 0


def _labels(labels: LabelSet, default: bool) -> str:
    """One label set, and whether its probabilities mean what they say."""
    known = labels.calibration
    sure = "not calibrated"
    if known is not None:
        sure = f"calibrated (temperature {known.temperature:.3f}, ECE {known.ece_before:.3f} -> {known.ece_after:.3f})"
    return f"labels: {', '.join(labels.labels)}; {sure}{'  (default)' if default else ''}"


def _detector(spec: DetectorSpec) -> str:
    return f"detector: {' '.join(spec.names)} " + ", ".join(
        f"{key} {value:g}" for key, value in spec.thresholds.items()
    )


def describe(bundle: Bundle) -> str:
    """The bundle in a screenful."""
    manifest = bundle.manifest
    source = manifest.input
    lines = [
        f"{manifest.model_id} {manifest.version}   bundle {bundle.path}   sha256 {bundle.sha256[:16]}",
        *(_labels(each, len(manifest.sets) > 1 and each.id == manifest.default_label_set) for each in manifest.sets),
        f"input: {source.color}, crop {manifest.align.crop_hw[0]} px → {source.source_px} px → network",
        *(_detector(spec) for spec in (manifest.detector, *manifest.other_detectors)),
        "variants:",
    ]
    for variant in manifest.variants:
        size = manifest.files[variant.file]
        weights = sum(layer.n_weights for layer in variant.layers)
        bits = sum(layer.n_weights * layer.effective_bits for layer in variant.layers) / max(1, weights)
        default = "  (default)" if variant.id == manifest.default_variant else ""
        lines.append(
            f"  {variant.id:8} {size.decoded_size_bytes:>9} bytes ({size.size_bytes} at rest), "
            f"{bits:.2f} bits a weight, {variant.input_hw[0]} px, runtime >= {variant.min_runtime}{default}"
        )
        lines += [
            f"           {m.accuracy:.2%} {m.labels} on {m.dataset}, n = {m.n}, measured {m.measured}"
            for m in variant.metrics
        ]
    lines.append("licenses:")
    lines += [f"  {entry.component}: {entry.license} — {entry.origin}" for entry in manifest.licenses]
    tools = ", ".join(f"{name} {version}" for name, version in manifest.provenance.tools.items())
    lines.append(f"made from {manifest.provenance.git_commit[:12]} with {tools}")
    return "\n".join(lines)
