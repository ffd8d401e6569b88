"""``fer-host convert`` and ``fer-host train``: what they make is whole or not there, and the same as without kills."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np

from fer_edge.contract.bundle import open_bundle
from fer_edge.contract.errors import BundleError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from killing.forked import Forked, host_command
from killing.subject import ROOT, Process, Subject, digest

RECIPE = "fer48"  # the smallest


class HostCommand(Subject):
    """``fer-host``, started as a fork."""

    def command(self) -> list[str]:
        """Its words; ``words`` has those behind its name."""
        return [sys.executable, "-m", "fer_host.cli", *self.words()]

    def words(self) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def _started(self) -> Process:
        return Forked(
            host_command(), ["fer-host", *self.words()], self.folder, self.environment(), self.folder / "said"
        )


class Convert(HostCommand):
    """A bundle from released weights; the stages in build/ stay from one start to the next, until a run is whole."""

    recipe = RECIPE

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.out, self.expected = folder / "dist" / self.recipe, dict[str, str]()

    def words(self) -> list[str]:
        """As ``make convert`` does."""
        return ["convert", self.recipe, "--quiet"]

    def whole(self) -> list[str]:
        """The bundle is absent, or every file in it has its digest."""
        if not self.out.exists():
            return []
        try:
            bundle = open_bundle(self.out)
            for role in bundle.manifest.files:
                bundle.read(role)
        except BundleError as error:
            return [f"the bundle: {error}"]
        return []

    def finished(self) -> list[str]:
        """The same networks as without kills, and nothing beside the bundle."""
        wrong = self.whole()
        if not self.out.exists():
            return [*wrong, "no bundle"]
        found = {path.name: digest(path) for path in sorted(self.out.glob("*.tflite"))}
        self.expected = self.expected or found
        wrong += [f"{name}: other bytes than without kills" for name in found if found[name] != self.expected.get(name)]
        return wrong + [f"left over: {path.name}" for path in self.out.parent.iterdir() if path != self.out]

    def reset(self) -> None:
        """Neither stages nor bundle; ours, in our folder."""
        for name in ("build", "dist"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


class ConvertCached(Convert):
    """As ``Convert``, with the stages that an earlier conversion left: the checks, and the bundle, again and again."""

    def prepare(self) -> None:
        """Copies what ``make convert MODEL=fer48`` left."""
        if not (ROOT / "build" / self.recipe).is_dir():
            raise SystemExit(f"kills: no build/{self.recipe}; make convert MODEL={self.recipe}")
        for path in (ROOT / "build" / self.recipe, ROOT / "build" / "detectors"):
            shutil.copytree(path, self.folder / "build" / path.name)

    def reset(self) -> None:
        """No bundle."""
        shutil.rmtree(self.folder / "dist", ignore_errors=True)


class Train(HostCommand):
    """An epoch of each cycle of the smallest network, generated pictures; the checkpoint stays until a run is whole."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.out, self.expected = folder / "out" / "small.safetensors", ""

    def prepare(self) -> None:
        """A recipe and pictures of our own."""
        text = (ROOT / "host" / "recipes" / f"{RECIPE}.toml").read_text()
        text, cycles = re.subn(r"\{ epochs = \d+, size_px", "{ epochs = 1, size_px", text)
        assert cycles >= 2, f"{RECIPE}.toml has no cycles to go from one to the next"
        text = text.replace("batch = 128", "batch = 32")
        (self.folder / "small.toml").write_text(text)
        random, n = np.random.default_rng(1), 96
        votes = np.zeros((n, 10), np.int64)
        votes[np.arange(n), random.integers(0, 8, n)] = 10
        np.savez(
            self.folder / "faces.npz",
            images=random.integers(0, 256, (n, 48, 48), dtype=np.uint8),
            fer_label=random.integers(0, 7, n),
            ferplus_votes=votes,
            usage=np.array(["Training"] * (n - 32) + ["PublicTest"] * 32),
            duplicates_training=np.zeros(n, np.int64) - 1,
            fer_classes=np.array(EMOTIONS7),
            ferplus_classes=np.array([*EMOTIONS8, "unknown", "NF"]),
        )
        self.out.parent.mkdir()

    def words(self) -> list[str]:
        """Resumes what was killed."""
        return [
            "train",
            str(self.folder / "small.toml"),
            "--data",
            str(self.folder / "faces.npz"),
            "--out",
            str(self.out),
        ]

    def whole(self) -> list[str]:
        """The weights are absent, or can be loaded."""
        if not self.out.exists():
            return []
        from safetensors.numpy import load_file

        try:
            load_file(self.out)
        except Exception as error:  # whatever it is, they are not whole
            return [f"{self.out.name}: {error}"]
        return []

    def finished(self) -> list[str]:
        """The weights of a run without kills, bit for bit, and nothing but them and their card."""
        if not self.out.exists():
            return ["no weights"]
        found = digest(self.out)
        self.expected = self.expected or found
        wrong = self.whole() + (["other weights than without kills"] if found != self.expected else [])
        left = [path.name for path in self.out.parent.iterdir() if not path.name.startswith("small.")]
        return wrong + [f"left over: {name}" for name in left]

    def reset(self) -> None:
        """Neither weights nor checkpoint; ours, in our folder."""
        for path in list(self.out.parent.iterdir()):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder / ".cache" / "fer-edge" / "train")


class Shard(HostCommand):
    """Some hundred generated crops in folders become shards; those that are whole stay until a run is."""

    n = 400  # seven shards

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.out, self.expected = folder / "shards", dict[str, str]()

    def prepare(self) -> None:
        """Crops of our own, by split and emotion."""
        import cv2

        random = np.random.default_rng(1)
        for i in range(self.n):
            place = self.folder / "faces" / ("test" if i % 5 == 0 else "train") / EMOTIONS7[i % 7]
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f"{i:04}.png"), random.integers(0, 256, (48, 48), dtype=np.uint8))

    def words(self) -> list[str]:
        """Goes on with what was killed."""
        return ["shard", str(self.folder / "faces"), str(self.out), "--workers", "2"]

    def whole(self) -> list[str]:
        """The set is absent, or every picture in it can be read."""
        if not self.out.exists():
            return []
        from fer_host.data.shards import load_shards

        try:
            rows = load_shards(self.out)
            found = sum(rows.open(row, None) is not None for row in range(len(rows)))
        except Exception as error:  # whatever it is, it is not whole
            return [f"the set: {error}"]
        return [] if found == self.n else [f"the set: {found} of {self.n} pictures"]

    def finished(self) -> list[str]:
        """The same bytes as without kills, and nothing beside the set."""
        wrong = self.whole()
        if not self.out.exists():
            return [*wrong, "no set"]
        found = {path.name: digest(path) for path in sorted(self.out.iterdir())}
        self.expected = self.expected or found
        wrong += [f"{name}: other bytes than without kills" for name in found if found[name] != self.expected.get(name)]
        wrong += [f"missing: {name}" for name in self.expected if name not in found]
        return wrong + [f"left over: {path.name}" for path in self.folder.glob(f"{self.out.name}.*")]

    def reset(self) -> None:
        """No set; ours, in our folder."""
        shutil.rmtree(self.out, ignore_errors=True)
