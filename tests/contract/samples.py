"""Small real bundles for tests: a manifest around a few bytes."""

from __future__ import annotations

from pathlib import Path

from fer_edge.contract.bundle import Bundle, encode_file, write_bundle
from fer_edge.contract.manifest import Golden, Layer, License, Manifest, Metric, Provenance, Variant
from fer_edge.contract.specs import AlignSpec, DetectorSpec, InputSpec, TensorSpec

CONTENTS = {
    "network/int8": ("hawqc.int8.tflite", b"network bytes " * 20, "none"),
    "network/float32": ("hawqc.float32.tflite", bytes(range(256)) * 4, "xz"),
    "detector/blazeface": ("detector/blazeface_short.tflite", b"detector bytes", "none"),
    "detector/pnet": ("detector/mtcnn_pnet.tflite", b"p bytes", "none"),
    "detector/rnet": ("detector/mtcnn_rnet.tflite", b"r bytes", "none"),
    "detector/onet": ("detector/mtcnn_onet.tflite", b"o bytes", "none"),
    "golden": ("golden.npz", b"golden bytes", "none"),
}


def make_manifest() -> tuple[Manifest, dict[str, bytes]]:
    """A full manifest and the stored bytes it describes."""
    files, stored = {}, {}
    for role, (path, content, encoding) in CONTENTS.items():
        files[role], stored[role] = encode_file(path, content, encoding)  # type: ignore[arg-type]
    output = TensorSpec("logits", (1, 3), "float32")
    float_in = TensorSpec("input", (1, 96, 96, 3), "float32")
    variants = (
        Variant("float32", "float32", "network/float32", float_in, output, "2.14"),
        Variant(
            "int8",
            "int8",
            "network/int8",
            TensorSpec("input", (1, 96, 96, 3), "int8", 0.018, -14),
            TensorSpec("logits", (1, 3), "int8", 0.1, 3),
            "2.14",
            (Metric("FER2013 PublicTest", "ferplus8", 3553, 0.84, "at release"),),
            (Layer("features.0.0", "CONV_2D", "int8", 8.0, 864),),
        ),
    )
    manifest = Manifest(
        model_id="hawqc_mbv2",
        version="0.1.0",
        recipe_sha256="a" * 64,
        weights_sha256="b" * 64,
        labels=("happiness", "neutral", "sadness"),
        input=InputSpec("gray3", 48, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        align=AlignSpec(
            ("right_eye", "left_eye", "nose", "mouth"),
            ((30.0, 38.0), (66.0, 38.0), (48.0, 57.5), (48.0, 75.0)),
            (96, 96),
        ),
        detector=DetectorSpec("blazeface_short", ("detector/blazeface",), {"score": 0.5, "nms_iou": 0.3}),
        default_variant="int8",
        variants=variants,
        files=files,
        golden=Golden("golden", 4, 0.1, {"int8": 0.1, "float32": 1e-3}),
        licenses=(License("detector", "Apache-2.0", "MediaPipe"),),
        provenance=Provenance("0" * 40, 1, {"torch": "2.13.0"}),
        other_detectors=(DetectorSpec("mtcnn", ("detector/pnet", "detector/rnet", "detector/onet"), {"pnet": 0.6}),),
    )
    return manifest, stored


def make_bundle(path: Path) -> Bundle:
    """Writes the sample bundle to ``path``."""
    return write_bundle(path, *make_manifest())
