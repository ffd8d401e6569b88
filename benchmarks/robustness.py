"""What light, camera and crop take from a network: PublicTest and portraits under one corruption at a time.

    python benchmarks/robustness.py dist/hawqc_mbv2 dist/fer48 --data ../shared/data --faces 800 --peer

Through the interpreter, the bundle's default variant unless --variant names one. ``--peer`` asks the quantized network
of the ``fer`` package too, in the environment that ``benchmarks/peers.py`` makes. Every figure is kept in
``results/robustness.jsonl`` as soon as it is measured, so that a killed run goes on; ``results/robustness.md`` is
written from all that is there for the bundles given.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from contestant import Contestant
from fer_edge.contract.answer import answer
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.labels import EMOTIONS8
from fer_edge.contract.preprocess import preprocess
from fer_host.data import fer2013
from fer_host.data.corruptions import corrupted, corruptions
from fer_host.device_pipeline import LiteRunner, face_cropper, make_detector, photo_files, read_photo
from peer_child import SEVEN
from written import write

HERE = Path(__file__).parent / "results"
VENV = Path(__file__).parents[1] / "build" / "peers" / "fer"
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


class Network(Protocol):
    """Who is asked: its name in tables, the key of what it answers with, its variant, and what it answers."""

    name: str
    key: str
    variant: str

    def answers(self, crops: list[Any]) -> np.ndarray:
        """(n,) int: the emotion of each crop, as a number in ``EMOTIONS8``."""
        ...


class Ours:
    """A bundle, through the interpreter."""

    def __init__(self, bundle: Bundle, variant_id: str | None) -> None:
        self.manifest = bundle.manifest
        self._variant = self.manifest.variant(variant_id)
        self.name, self.key, self.variant = self.manifest.model_id, bundle.sha256, self._variant.id
        self.title = f"{self.name} {self.manifest.version}, {self.variant}"
        self._read = bundle.read
        self._order = np.array([EMOTIONS8.index(label) for label in self.manifest.labels])

    @cached_property
    def _runner(self) -> LiteRunner:
        return LiteRunner(self._read(self._variant.file), self._variant, threads=1)

    def answers(self, crops: list[Any]) -> np.ndarray:
        """See ``Network``."""
        size_hw, labels = self._variant.input_hw, self.manifest.label_set()
        rows = [self._runner(preprocess(crop, self.manifest.input, size_hw)[None])[0] for crop in crops]
        return np.asarray(self._order[answer(np.stack(rows), labels).argmax(axis=1)])


class Peer:
    """The quantized network of the ``fer`` package, which takes gray faces of 64 px, alone."""

    name, variant = "fer", "tflite"

    def __init__(self) -> None:
        wheels = sorted((VENV / "lib").glob("python*/site-packages/fer-*.dist-info"))
        known = [each.name.removesuffix(".dist-info") for each in wheels]  # or what was asked on another machine
        known = known or sorted({row.bundle_sha256 for row in kept_figures() if row.bundle_sha256.startswith("fer-")})
        if not wheels and known:
            print(f"{VENV}: no fer package here; its figures are those that are kept", flush=True)
        if not known:
            raise SystemExit(f"robustness: {VENV}: no fer package; benchmarks/peers.py makes that environment")
        self.key = known[-1]
        self.title = f"the {self.name} package {self.key.partition('-')[2]}, its {self.variant}"

    @cached_property
    def _child(self) -> Contestant:
        return Contestant(VENV / "bin" / "python", "fer-tflite", Path("-"), quiet=True)

    def answers(self, crops: list[Any]) -> np.ndarray:
        """See ``Network``."""
        gray = [crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
        with tempfile.TemporaryDirectory() as scratch:
            np.save(f"{scratch}/crops.npy", np.stack(gray))
            found = self._child.ask("classify", f"{scratch}/crops.npy")
        order = [EMOTIONS8.index(label) for label in SEVEN]
        return np.array([order[each] for each in found])


class Pictures:
    """PublicTest's faces with their labels, and the portraits' crops as the first bundle's detector cuts them."""

    def __init__(self, bundle: Bundle, data: Path, n: int, seed: int) -> None:
        self.align, self.seed = bundle.manifest.align, seed
        rows = fer2013.load(data / "fer2013" / "fer2013_train_public.npz")
        rows = rows.select((rows.usage == "PublicTest") & (rows.label8 >= 0))
        rows = rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:n]))
        self.faces, self.labels = list(rows.images), rows.label8
        self.portraits: dict[str, list[Any]] = {"happy": [], "neutral": []}
        crop = face_cropper(make_detector(bundle.manifest.detector, bundle.read), self.align)
        for name, found in self.portraits.items():
            for path in photo_files(data / "faces_london" / name):
                face = crop(read_photo(path).image)
                if face is not None:
                    found.append(face)
        self._clean: dict[str, np.ndarray] = {}

    def _smiles(self, network: Network, crops: list[Any]) -> np.ndarray:
        return np.asarray(network.answers(crops) == EMOTIONS8.index("happiness"))

    def measure(self, network: Network, name: str) -> Figure:
        """Under the named corruption, or ``CLEAN``."""
        if network.name not in self._clean:
            self._clean[network.name] = self._smiles(network, self.portraits["happy"])
        clean = self._clean[network.name]
        change = {CLEAN: lambda face, _: face, **corruptions(self.align)}[name]
        happy, neutral = (corrupted(name, change, self.portraits[key], self.seed) for key in ("happy", "neutral"))
        smiles = self._smiles(network, happy)
        found = network.answers(corrupted(name, change, self.faces, self.seed))
        return Figure(
            network.key,
            network.variant,
            name,
            len(self.faces),
            self.seed,
            int((found == self.labels).sum()),
            int(smiles.sum()),
            int((smiles & clean).sum()),
            int(clean.sum()),
            int((network.answers(neutral) == EMOTIONS8.index("neutral")).sum()),
            len(neutral),
        )


def kept_figures() -> list[Figure]:
    """All that was ever measured."""
    return [Figure(**json.loads(line)) for line in KEPT.read_text().splitlines()] if KEPT.is_file() else []


def table(title: str, rows: list[Figure]) -> list[str]:
    """One network's rows, the clean one first, and the mean over the corruptions relative to clean."""
    clean, *others = rows
    n = clean.faces
    base = clean.right / n
    error = 100 * math.sqrt(base * (1 - base) / n)
    shares = [row.right / clean.right for row in others]
    lines = [
        f"## {title}",
        "",
        f"PublicTest, `ferplus8`, n = {n} (drawn, seed {clean.seed}; standard error {error:.1f} points); "
        f"portraits: {clean.smiles_kept_of} smiles found in full light, of {clean.portraits} neutral faces "
        f"{clean.neutral} called so. `{clean.bundle_sha256[:12]}`.",
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
    parser.add_argument("--peer", action="store_true", help="asks the fer package too")
    arguments = parser.parse_args()
    lines = [
        "# Light, camera and crop",
        "",
        "`benchmarks/robustness.py`: each corruption alone, by a fixed amount, made by OpenCV and not by what training "
        "draws from; the faces are PublicTest's (48 px) and the portraits' aligned crops (found in full light). "
        '"Smiles kept": of the smiles found in the portraits as they are. The `fer` package is given the same crops in '
        "its own size; its network knows no contempt, which counts as wrong.",
        "",
    ]
    bundles = [open_bundle(path) for path in arguments.bundles]
    asked: list[Ours | Peer] = [Ours(bundle, arguments.variant) for bundle in bundles]
    asked += [Peer()] if arguments.peer else []
    columns: dict[str, list[Figure]] = {}
    pictures: Pictures | None = None
    for network in asked:
        same = {
            row.corruption: row
            for row in kept_figures()
            if (row.bundle_sha256, row.variant, row.seed) == (network.key, network.variant, arguments.seed)
            and row.faces == arguments.faces
        }
        rows = []
        for name in (CLEAN, *corruptions(bundles[0].manifest.align)):
            if name not in same:
                pictures = pictures or Pictures(bundles[0], arguments.data, arguments.faces, arguments.seed)
                same[name] = pictures.measure(network, name)
                with KEPT.open("a") as file:
                    file.write(json.dumps(asdict(same[name]), ensure_ascii=False) + "\n")
                print(f"{network.title}, {name}: {same[name].right / same[name].faces:.1%}", flush=True)
            rows.append(same[name])
        lines += table(network.title, rows)
        columns[network.name] = rows
    lines += beside(columns)
    write(TABLE, "\n".join(lines))


if __name__ == "__main__":
    main()
