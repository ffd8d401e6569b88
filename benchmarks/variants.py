"""Every form of every shipped network: bytes and accuracies as bundle and card have them. Nothing is timed.

python benchmarks/variants.py [DIST]    (.venv, after ``make convert`` of each; writes results/variants.md)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.manifest import Variant
from fer_host.files.paths import ZOO
from written import kept, write

RESULT = Path(__file__).parent / "results" / "variants.md"
PROTOCOLS = ("ferplus8", "ferplus8_majority", "fer7")
LABELS = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def main() -> int:
    """Writes one section per network and three tables over all."""
    dist = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    cards = {path.name.removesuffix(".card.json"): json.loads(path.read_text()) for path in ZOO.glob("*.card.json")}
    lines = [
        "# The shipped networks, form by form",
        "",
        "`benchmarks/variants.py`. Accuracy: FER2013 PublicTest, single view, through the device's preprocess and "
        "interpreter when the weights were released (the bundle's manifest). Bytes: the file in the bundle, and as the "
        "device decodes it.",
    ]
    for name in sorted(cards):
        lines += ["", f"## {name}", "", f"| form | bytes | decoded bytes | {' | '.join(PROTOCOLS)} |", "|---" * 6 + "|"]
        if not (dist / name / "manifest.json").is_file():  # of an earlier run
            print(f"variants: {dist}/{name}: no bundle; its rows stay as they are", file=sys.stderr)
            lines += [f"| {' | '.join(row)} |" for row in kept(RESULT, name).values()]
            continue
        manifest = open_bundle(dist / name).manifest
        for variant in manifest.variants:
            entry = manifest.files[variant.file]
            form = f"{variant.id} (default)" if variant.id == manifest.default_variant else variant.id
            sizes = f"{entry.size_bytes:,} | {entry.decoded_size_bytes:,}"
            lines.append(f"| {form} | {sizes} | {' | '.join(_accuracy(variant, each) for each in PROTOCOLS)} |")
    lines += ["", "## Training", "", "| network | images | epochs | minutes | seed | on |", "|---" * 6 + "|"]
    for name, card in sorted(cards.items()):
        on = card.get("trained_on") or "two shared cores"
        lines.append(
            f"| {name} | {card['n_train']:,} | {card['epochs']} | {card['minutes']:.0f} | {card['seed']} | {on} |"
        )
    lines += [
        "",
        "## Float",
        "",
        "Calibrated: the error of the probabilities (ECE) after the bundle's temperature.",
        "",
    ]
    lines += [
        "| network and labels | n | accuracy | macro-F1 | ECE | calibrated | without copies of training images | n |"
    ]
    lines += ["|---" * 8 + "|"]
    for name, card in sorted(cards.items()):
        lines += _float_rows(name, card)
    lines += ["", "## Recall", "", f"| network and labels | {' | '.join(LABELS)} |", "|---" * 9 + "|"]
    for name, card in sorted(cards.items()):
        for score in card["float_scores"]:
            if score["protocol"] in PROTOCOLS:
                cells = [f"{score['recall'][label]:.2f}" if label in score["recall"] else "" for label in LABELS]
                lines.append(f"| {name} {score['protocol']} | {' | '.join(cells)} |")
    write(RESULT, "\n".join(lines) + "\n")
    print(RESULT)
    return 0


def _accuracy(variant: Variant, protocol: str) -> str:
    found = [metric.accuracy for metric in variant.metrics if metric.labels == protocol]
    return f"{found[0]:.2%}" if found else ""


def _float_rows(name: str, card: dict[str, Any]) -> list[str]:
    scores = {score["protocol"]: score for score in card["float_scores"]}
    rows = []
    for protocol in PROTOCOLS:
        if (score := scores.get(protocol)) is None:
            continue
        fresh = scores.get(f"{protocol} without training duplicates")
        calibrated = (card.get("calibration") or {}).get(protocol)
        cells = [
            f"{name} {protocol}",
            f"{score['n']:,}",
            f"{score['accuracy']:.2%}",
            f"{score['macro_f1']:.3f}",
            f"{score['ece']:.3f}",
            f"{calibrated['ece_after']:.3f}" if calibrated else "",
            f"{fresh['accuracy']:.2%}" if fresh else "",
            f"{fresh['n']:,}" if fresh else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    sys.exit(main())
