r"""How many pictures are enough? int8 accuracy and agreement with float against calibration set size and composition.

    python benchmarks/calibration_curve.py hawqc_mbv2 --data ../shared/data/fer2013/fer2013_train_public.npz \
        --photos ../shared/data/faces_synthetic --plot calibration/curve.png

For each composition (balanced over the labels, as they come, one label only, other photos) and size, seeded draws.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer_edge.contract.preprocess import softmax
from fer_host.bundle.assemble import variant_of
from fer_host.bundle.converted import Converted
from fer_host.calibration.faces import faces_from_folder
from fer_host.calibration.ranges import inputs_of
from fer_host.convert.int8 import quantize_int8
from fer_host.data import fer2013
from fer_host.detector.networks import load_detector_model
from fer_host.device_pipeline import LiteRunner
from fer_host.pipeline import float_network
from fer_host.recipe.recipe import load_recipe
from fer_host.tflite.ranges import collect_ranges

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def compositions(rows: fer2013.FerData, photos: list[np.ndarray], seed: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Named orders of faces; the first n of each are a set of n."""
    order = np.random.default_rng(seed).permutation(len(rows))
    label = rows.label8[order]
    turn = np.array([np.sum(label[:i] == label[i]) for i in range(4000)])
    yield "balanced", [rows.images[i] for i in order[:4000][np.argsort(turn, kind="stable")][: max(SIZES)]]
    yield "as they come", [rows.images[i] for i in order[: max(SIZES)]]
    yield "happiness only", [rows.images[i] for i in order[label == 4][: max(SIZES)]]
    if photos:
        yield (
            "generated photos",
            [photos[i] for i in np.random.default_rng(seed).permutation(len(photos))[: max(SIZES)]],
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--n", type=int, default=1000, help="PublicTest faces that every set is scored on")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.model)
    float_tflite, digest = float_network(recipe)
    data = fer2013.load(arguments.data)
    train = data.select((data.usage == "Training") & (data.label8 >= 0))
    test = data.select((data.usage == "PublicTest") & (data.label8 >= 0))
    test = test.select(np.isin(np.arange(len(test)), np.random.default_rng(0).permutation(len(test))[: arguments.n]))
    inputs = [row[None] for row in inputs_of(list(test.images), recipe)]
    photos = []
    if arguments.photos:
        photos = faces_from_folder(
            arguments.photos, load_detector_model(recipe.detector), recipe.align, max(SIZES)
        ).crops

    def logits(path: Path) -> np.ndarray:
        runner = LiteRunner(path.read_bytes(), variant_of("int8", Converted(path, "")), threads=1)
        return np.concatenate([runner(row) for row in inputs])

    reference = logits(float_tflite)
    ordered = np.sort(softmax(reference), axis=1)
    clear = ordered[:, -1] - ordered[:, -2] >= 0.10
    float_accuracy = float((reference.argmax(1) == test.label8).mean())
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "int8.tflite"
        for seed in range(arguments.seeds):
            for name, faces in compositions(train, photos, seed):
                for size in [size for size in SIZES if size <= len(faces)]:
                    ranges = collect_ranges(
                        float_tflite, (row[None] for row in inputs_of(faces[:size], recipe)), weights_sha256=digest
                    )
                    quantize_int8(float_tflite, ranges, target, weights_sha256=digest)
                    found = logits(target)
                    same = found.argmax(1) == reference.argmax(1)
                    accuracy = float((found.argmax(1) == test.label8).mean())
                    row = {
                        "set": name, "seed": seed, "n": size, "accuracy": accuracy,
                        "agreement": float(same.mean()), "agreement_at_margin": float(same[clear].mean()),
                    }  # fmt: skip
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    document = {"model": recipe.id, "n_test": len(test), "float_accuracy": float_accuracy, "rows": rows}
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.plot:
        plot(document, arguments.plot)
    return 0


def plot(document: dict[str, object], path: Path) -> None:
    """Accuracy against set size, one line per composition (mean over seeds)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: list[dict[str, float]] = document["rows"]  # type: ignore[assignment]
    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=110)
    for name in dict.fromkeys(row["set"] for row in rows):
        sizes = sorted({row["n"] for row in rows if row["set"] == name})
        means = [np.mean([row["accuracy"] for row in rows if row["set"] == name and row["n"] == n]) for n in sizes]
        axes.plot(sizes, np.array(means) * 100, marker="o", label=str(name))
    axes.axhline(float(document["float_accuracy"]) * 100, color="black", linestyle="--", label="float32")  # type: ignore[arg-type]
    axes.set_xscale("log", base=2)
    axes.set_xlabel("faces in the calibration set")
    axes.set_ylabel("int8 accuracy, %")
    axes.set_title(f"{document['model']}: {document['n_test']} PublicTest faces, ferplus8")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
