"""What each step of training sees: a function of the set, the recipe and the step, whoever makes it and when.

A set in memory is augmented by the trainer itself. One that streams is decoded and augmented by worker processes ahead
of it; each makes whole batches, so that their number changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fer_edge.contract.specs import InputSpec
from fer_host.data.ahead import Ahead
from fer_host.data.augment import augment_batch, mixed_up, normalized, planes
from fer_host.data.damage import name_unreadable
from fer_host.data.streamed import Images, Streamed
from fer_host.recipe.train import TrainConfig
from fer_host.train.parallel import Team


@dataclass(frozen=True)
class TrainSet:
    """What is trained on: images (N, h, w) gray or (N, h, w, 3) RGB, uint8, and distributions (N, classes) float32.

    Rows of ``targets`` sum to 1, less the share of a teacher, whose output on the same augmented view is added. The
    loop asks for the rows of one batch at a time, so that both may come from files (``Streamed``, ``OneHotRows``).
    ``slices`` are the columns (first, after the last) of each label set where there are several; each set's rows sum to
    its own share then, or to nothing where an image has no label in it.
    """

    images: Images
    targets: NDArray[np.float32]
    slices: tuple[tuple[int, int], ...] = ()

    @property
    def parts(self) -> tuple[slice, ...]:
        """The columns of each label set."""
        return tuple(slice(*each) for each in self.slices) or (slice(None),)


class Step(NamedTuple):
    """A step of a run: its number, its epoch, the number of its batch within that, the side of the network's input."""

    step: int
    epoch: int
    nth: int
    size_px: int


def n_steps(n: int, config: TrainConfig) -> int:
    """Of a run over ``n`` images."""
    return n // config.batch * sum(phase.epochs for phase in config.phases)


def schedule(n: int, config: TrainConfig, first: int = 0) -> Iterator[Step]:
    """The steps of a run over ``n`` images, from ``first`` on."""
    per_epoch = n // config.batch
    begun = 0  # epochs of the phases before
    for phase in config.phases:
        for epoch in range(max(begun, first // per_epoch if per_epoch else 0), begun + phase.epochs):
            for index in range(max(0, first - epoch * per_epoch), per_epoch):
                yield Step(epoch * per_epoch + index, epoch, index, phase.size_px)
        begun += phase.epochs


class Batch(NamedTuple):
    """This process's share of a step: inputs (n, C, size, size), targets (n, classes), and what could not be read."""

    step: Step
    x: torch.Tensor
    targets: torch.Tensor
    problems: tuple[str, ...] = ()


class Batches:
    """The batches of a run from step ``first`` on.

    Args:
        data: what is trained on.
        config: of the cycle.
        normalize: how the network's input is made of a picture.
        team: whose share each batch is.
        first: step.

    Attributes:
        ahead: the workers, where the set streams; it knows how long the trainer waited.
    """

    def __init__(self, data: TrainSet, config: TrainConfig, normalize: InputSpec, team: Team, first: int) -> None:
        self.data, self.config, self.normalize = data, config, normalize
        self.rank, self.size = team.rank, team.size
        self.ahead: Ahead[Batch] | None = None
        plans = self._plans(first)
        if isinstance(data.images, Streamed):
            largest = max(phase.size_px for phase in config.phases)
            made_bytes = 4 * config.batch // self.size * normalize.channels * largest**2
            self.ahead = Ahead(self._streamed, plans, made_bytes)
        self._plans_left = plans

    def __iter__(self) -> Iterator[Batch]:
        if self.ahead is None:
            yield from map(self._made, self._plans_left)
            return
        for batch in self.ahead:
            name_unreadable(batch.problems, "another picture takes its place")
            yield batch

    def _plans(self, first: int) -> Iterator[tuple[Step, NDArray[np.int64]]]:
        n = len(self.data.images)
        order, order_epoch = np.empty(0, dtype=np.int64), -1
        for step in schedule(n, self.config, first):
            if order_epoch != step.epoch:
                order = np.random.default_rng([self.config.seed, step.epoch]).permutation(n)
                order_epoch = step.epoch
            start = step.nth * self.config.batch
            yield step, order[start : start + self.config.batch]

    def _generator(self, step: Step) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + step.step)

    def _made(self, plan: tuple[Step, NDArray[np.int64]]) -> Batch:
        """Draws for the whole batch and takes this process's share, so that two see what one would."""
        step, rows = plan
        return self._of(step, self.data.images[rows], rows)

    def _of(self, step: Step, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Batch:
        generator, how = self._generator(step), self.config.augment
        x = normalized(augment_batch(planes(pixels), step.size_px, how, generator), self.normalize)
        x, targets = mixed_up(x, torch.from_numpy(self.data.targets[rows]), self.config.mixup, generator)
        return Batch(step, x[self.rank :: self.size], targets[self.rank :: self.size])

    def _streamed(self, plan: tuple[Step, NDArray[np.int64]]) -> Batch:
        """In a worker. Only the share is read where no picture needs those of the others."""
        images = self.data.images
        assert isinstance(images, Streamed)
        step, rows = plan
        alone = self.config.mixup == 0 and self.config.augment.light is None
        wanted = rows[self.rank :: self.size] if alone else rows
        problems: list[str] = []
        read = [images.readable(int(row), problems) for row in wanted]
        pixels, used = np.stack([face for face, _ in read]), np.array([row for _, row in read], dtype=np.int64)
        if not alone:
            return self._of(step, pixels, used)._replace(problems=tuple(problems))
        generator = self._generator(step)
        x = augment_batch(planes(pixels), step.size_px, self.config.augment, generator, (self.rank, self.size))
        targets = torch.from_numpy(self.data.targets[used])
        return Batch(step, normalized(x, self.normalize).contiguous(), targets, tuple(problems))
