"""What light, camera and crop take from a network: PublicTest and portraits under one corruption at a time.

    python benchmarks/robustness.py dist/hawqc_mbv2 dist/fer48 --data ../shared/data --faces 800

Through the interpreter, the bundle's default variant unless --variant names one. Every figure is kept in
``results/robustness.jsonl`` as soon as it is measured, so that a killed run goes on; ``results/robustness.md`` is
written from all that is there for the bundles given.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.contract.answer import answer
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.preprocess import preprocess
from fer_host.data import fer2013
from fer_host.data.corruptions import corrupted, corruptions
from fer_host.device_pipeline import LiteRunner, face_cropper, make_detector, photo_files, read_photo
from written import write

HERE = Path(__file__).parent / "results"
KEPT, TABLE = HERE / "robustness.jsonl", HERE / "robustness.md"
CLEAN = "as it is"


@dataclass(frozen=True)
class Figure:
    """One network under one corruption; ``kept_of`` are the smiles (or neutral faces) found in the clean portraits."""

    bundle_sha256: str
    variant: str
    corruption: str
    faces: int
    seed: int
    right: int
    smiles: int
    smiles_kept: int
    smiles_kept_of: int
    neutral: int
    portraits: int


class Asked:
    """One bundle's answers to PublicTest's faces and to the portraits."""

    def __init__(self, bundle: Bundle, variant_id: str | None, data: Path, n: int, seed: int) -> None:
        self.bundle, self.manifest, self.seed = bundle, bundle.manifest, seed
        self.variant = self.manifest.variant(variant_id)
        self.runner = LiteRunner(bundle.read(self.variant.file), self.variant, threads=1)
        rows = fer2013.load(data / "fer2013" / "fer2013_train_public.npz")
        rows = rows.select((rows.usage == "PublicTest") & (rows.label8 >= 0))
        rows = rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:n]))
        self.faces, self.labels = list(rows.images), rows.label8
        self.portraits: dict[str, list[Any]] = {"happy": [], "neutral": []}
        crop = face_cropper(make_detector(self.manifest.detector, bundle.read), self.manifest.align)
        for name, found in self.portraits.items():
            for path in photo_files(data / "faces_london" / name):
                face = crop(read_photo(path).image)
                if face is not None:
                    found.append(face)
        self.clean = self._smiles(self.portraits["happy"])

    def _answers(self, crops: list[Any]) -> np.ndarray:
        size_hw, labels = self.variant.input_hw, self.manifest.label_set()
        rows = [self.runner(preprocess(crop, self.manifest.input, size_hw)[None])[0] for crop in crops]
        return answer(np.stack(rows), labels).argmax(axis=1)

    def _smiles(self, crops: list[Any]) -> np.ndarray:
        return self._answers(crops) == self.manifest.labels.index("happiness")

    def measure(self, name: str) -> Figure:
        """Under the named corruption, or ``CLEAN``."""
        change = {CLEAN: lambda face, _: face, **corruptions(self.manifest.align)}[name]
        happy, neutral = (corrupted(name, change, self.portraits[key], self.seed) for key in ("happy", "neutral"))
        smiles = self._smiles(happy)
        found = self._answers(corrupted(name, change, self.faces, self.seed))
        return Figure(
            self.bundle.sha256,
            self.variant.id,
            name,
            len(self.faces),
            self.seed,
            int((found == self.labels).sum()),
            int(smiles.sum()),
            int((smiles & self.clean).sum()),
            int(self.clean.sum()),
            int((self._answers(neutral) == self.manifest.labels.index("neutral")).sum()),
            len(neutral),
        )


def kept_figures() -> list[Figure]:
    """All that was ever measured."""
    return [Figure(**json.loads(line)) for line in KEPT.read_text().splitlines()] if KEPT.is_file() else []


def table(bundle: Bundle, variant: str, rows: list[Figure]) -> list[str]:
    """One network's rows, the clean one first, and the mean over the corruptions relative to clean."""
    clean, *others = rows
    n = clean.faces
    base = clean.right / n
    error = 100 * math.sqrt(base * (1 - base) / n)
    shares = [row.right / clean.right for row in others]
    lines = [
        f"## {bundle.manifest.model_id} {bundle.manifest.version}, {variant}",
        "",
        f"PublicTest, `ferplus8`, n = {n} (drawn, seed {clean.seed}; standard error {error:.1f} points); "
        f"portraits: {clean.smiles_kept_of} smiles found in full light, of {clean.portraits} neutral faces "
        f"{clean.neutral} called so. Bundle `{bundle.sha256[:12]}`.",
        "",
        "| corruption | accuracy | relative to clean | smiles kept | neutral |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.corruption} | {row.right / n:.1%} | {row.right / clean.right:.3f} | "
            f"{row.smiles_kept} of {row.smiles_kept_of} | {row.neutral} of {row.portraits} |"
        )
    return [*lines, f"| **mean over the {len(others)}** | | **{np.mean(shares):.3f}** | | |", ""]


def beside(columns: dict[str, list[Figure]]) -> list[str]:
    """Accuracy of all networks, one row per corruption, and the mean relative to the clean pictures."""
    forms = ", ".join(f"{name} in {rows[0].variant}" for name, rows in columns.items())
    lines = [
        "## Side by side",
        "",
        f"Accuracy of {forms}.",
        "",
        f"| corruption | {' | '.join(columns)} |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for rows in zip(*columns.values(), strict=True):
        lines.append(f"| {rows[0].corruption} | {' | '.join(f'{row.right / row.faces:.1%}' for row in rows)} |")
    kept = [np.mean([row.right / clean.right for row in others]) for clean, *others in columns.values()]
    lines.append(f"| mean of the corruptions, relative to clean | {' | '.join(f'{share:.2f}' for share in kept)} |")
    found = [f"{rows[0].smiles} of {rows[0].portraits}" for rows in columns.values()]
    lines.append(f"| smiles found in the portraits | {' | '.join(found)} |")
    return [*lines, ""]


def main() -> None:
    """Measures what is not yet there, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--faces", type=int, default=800, help="of PublicTest, drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant")
    arguments = parser.parse_args()
    lines = [
        "# Light, camera and crop",
        "",
        "`benchmarks/robustness.py`: each corruption alone, by a fixed amount, made by OpenCV and not by what training "
        "draws from; the faces are PublicTest's (48 px) and the portraits' aligned crops (found in full light). "
        '"Smiles kept": of the smiles found in the portraits as they are.',
        "",
    ]
    columns: dict[str, list[Figure]] = {}
    for path in arguments.bundles:
        bundle = open_bundle(path)
        variant = bundle.manifest.variant(arguments.variant).id
        same = {
            row.corruption: row
            for row in kept_figures()
            if (row.bundle_sha256, row.variant, row.seed) == (bundle.sha256, variant, arguments.seed)
            and row.faces == arguments.faces
        }
        asked, rows = None, []
        for name in (CLEAN, *corruptions(bundle.manifest.align)):
            if name not in same:
                asked = asked or Asked(bundle, variant, arguments.data, arguments.faces, arguments.seed)
                same[name] = asked.measure(name)
                with KEPT.open("a") as file:
                    file.write(json.dumps(asdict(same[name]), ensure_ascii=False) + "\n")
                print(f"{bundle.manifest.model_id} {variant}, {name}: {same[name].right / same[name].faces:.1%}")
            rows.append(same[name])
        lines += table(bundle, variant, rows)
        columns[bundle.manifest.model_id] = rows
    lines += beside(columns)
    write(TABLE, "\n".join(lines))


if __name__ == "__main__":
    main()
