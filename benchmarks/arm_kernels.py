"""Does a network answer the same on ARM as here? The same faces through the kernels of both.

    python benchmarks/arm_kernels.py dist/hawqc_mbv2 NPZ
    python benchmarks/arm_kernels.py dist/hawqc_mbv2 NPZ --variants mixed
    python benchmarks/arm_kernels.py build/both NPZ --faces 64 --onnx

NPZ is FER2013 with FERPlus votes; the faces are drawn from PublicTest. Needs root: Debian userlands for 64-bit ARM are
unpacked in build/arm64 and run by qemu's user-mode emulation of the boards' processors (tests/arm64/arm_roots.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "arm64"))

from arm_roots import CPUS, ensure
from kernels import MARGIN, classify, difference, draw_faces

from fer_edge.contract.bundle import open_bundle

# (wheels, processor, variants). Float kernels do not depend on the processor's extensions; the slow ones run once.
RUNS = (
    ("litert", "cortex-a72", ("int8", "mixed", "dynamic", "float32")),
    ("litert", "cortex-a76", ("int8", "mixed", "dynamic")),
    ("litert", "cortex-a53", ("int8", "mixed")),
    ("tflite", "cortex-a72", ("int8", "mixed", "float32")),
)
ONNX_RUNS = (("onnx", "cortex-a72", ("int8", "onnx", "onnx_fp16", "onnx_int8")),)  # both runtimes, on one processor
N_REFERENCE = 8
COLUMNS = (
    ("accuracy here", lambda row: f"{row['accuracy_here']:.2%}"),
    ("accuracy ARM", lambda row: f"{row['accuracy_arm']:.2%}"),
    ("same bits", lambda row: f"{row['n_same_bits']} of {row['n']}"),
    ("same answer", lambda row: f"{row['agreement']:.2%}"),
    (f"at margin {MARGIN:.2f}", lambda row: f"{row['clear_agreement']:.2%} of {row['n_clear']}"),
    ("max Δp", lambda row: f"{row['dp_max']:.2g}"),
    ("p99", lambda row: f"{row['dp_p99']:.2g}"),
    ("mean", lambda row: f"{row['dp_mean']:.2g}"),
)


def measure(
    bundle: Path, npz: Path, n: int, seed: int, wanted: list[str], onnx: bool = False
) -> list[dict[str, object]]:
    """One row a run and variant, printed as it comes; ``wanted`` variants only, where any are named."""
    faces = draw_faces(npz, bundle, n, seed)
    known = {variant.id for variant in open_bundle(bundle).manifest.variants if variant.id in (wanted or [variant.id])}
    here = {name: classify(faces.inputs, bundle, name) for name in sorted(known)}
    root = ensure("bookworm")
    rows: list[dict[str, object]] = []
    for wheels, cpu, variants in ONNX_RUNS if onnx else RUNS:
        for variant in (name for name in variants if name in known):
            arm = classify(faces.inputs, bundle, variant, root, cpu=cpu, wheels=wheels, timeout_s=4 * 3600)
            places = {"variant": variant, "cpu": cpu, "boards": CPUS[cpu].boards}
            runtimes = {"runtime_here": here[variant].runtime, "runtime_arm": arm.runtime}
            rows.append({**places, **runtimes, **asdict(difference(here[variant], arm, faces.labels))})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def reference_rows(bundle: Path, npz: Path, seed: int) -> dict[str, float]:
    """Largest |difference| of a stored output with the reference kernels, by variant that has results to share."""
    faces = draw_faces(npz, bundle, N_REFERENCE, seed)
    root = ensure("bookworm")
    found = {}
    for variant in open_bundle(bundle).manifest.variants:
        if variant.scheme != "dynamic" and variant.format != "onnx":  # onnxruntime has no plain kernels
            both = [classify(faces.inputs, bundle, variant.id, where, reference=True).raw for where in (None, root)]
            found[variant.id] = float(abs(both[0].astype(float) - both[1].astype(float)).max())
    return found


def markdown(document: dict[str, object]) -> str:
    """The document as a page of tables."""
    rows: list[dict[str, object]] = document["rows"]  # type: ignore[assignment]
    here = ", ".join(sorted({str(row["runtime_here"]) for row in rows}))
    head = ("variant", "processor (boards)", "interpreter on ARM", *(name for name, _ in COLUMNS))
    lines = [
        "# The same faces on ARM and on x86-64",
        "",
        f"`python benchmarks/arm_kernels.py`, {document['n']} faces of FER2013 PublicTest (seed {document['seed']}), "
        f"bundle {str(document['bundle_sha256'])[:12]}; here: {here} on x86-64.",
        f"ARM is emulated: Debian 12 userland, {document['qemu']}. Δp is the largest difference of a face's "
        "probabilities; max, 99th percentile and mean are over faces.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in rows:
        cells = [row["variant"], f"{row['cpu']} ({row['boards']})", row["runtime_arm"]]
        lines.append("| " + " | ".join([*map(str, cells), *(make(row) for _, make in COLUMNS)]) + " |")
    same = ", ".join(f"{name} {value:.2g}" for name, value in document["reference_max_abs"].items())  # type: ignore[attr-defined]
    lines += ["", f"Reference kernels, {N_REFERENCE} faces, largest |difference| of a stored output: {same}.", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("npz", type=Path)
    parser.add_argument("--faces", type=int, default=1000, help="how many (default: 1000, up to an hour)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=[], help="only these; their results go to files of their own")
    parser.add_argument("--onnx", action="store_true", help="the forms of a bundle for both runtimes, in arm_onnx")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    arguments = parser.parse_args()
    bundle = arguments.bundle.resolve()
    ensure("bookworm")  # installs qemu where it is missing, before anything is measured
    version = subprocess.run(["qemu-aarch64-static", "--version"], capture_output=True, text=True, check=True)
    document: dict[str, object] = {
        "n": arguments.faces,
        "seed": arguments.seed,
        "bundle_sha256": open_bundle(bundle).sha256,
        "rows": measure(bundle, arguments.npz, arguments.faces, arguments.seed, arguments.variants, arguments.onnx),
        "reference_max_abs": reference_rows(bundle, arguments.npz, arguments.seed),
        "qemu": version.stdout.splitlines()[0],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = [bundle.name, *arguments.variants] if arguments.variants else []
    stem = "-".join(["arm_onnx" if arguments.onnx else "arm_kernels", *parts])
    for name, text in (("json", json.dumps(document, indent=1) + "\n"), ("md", markdown(document))):
        target = arguments.out / f"{stem}.{name}"
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_text(text)
        temporary.replace(target)
    print(markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
