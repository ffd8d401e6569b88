"""Read this first: HAWQC from a trained network to weights on their grids, ``fer-host search`` and ``fer-host qat``.

Fold batch norms → trace of the Hessian by channel → sensitivity of each width → widths within a budget → tuning on
those grids → integers, which ``convert`` puts into the tflite file as they are.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from fer_edge.contract.preprocess import preprocess
from fer_host.data.faces import TRAINING, FaceData
from fer_host.data.pieces import which_read
from fer_host.errors import DataError, RecipeError
from fer_host.files.artifacts import digest_json
from fer_host.files.paths import TRAIN_CACHE
from fer_host.models.weights import load_network, weights_sha256
from fer_host.quantize.agents import AgentConfig, Episode, actor_critic, haq
from fer_host.quantize.allocate import CLOSED_FORM
from fer_host.quantize.finetune import grids, on_grids
from fer_host.quantize.fold import fold_batch_norms
from fer_host.quantize.grids import save_tuned, tuning_of
from fer_host.quantize.held_out import HeldOutLoss
from fer_host.quantize.kept_traces import is_kept, keep_traces, seconds_of
from fer_host.quantize.policy import BitPolicy, budget_bytes, check_fits, load_policy, save_policy, weights_per_channel
from fer_host.quantize.sensitivity import SensitivityTable, sensitivity_table
from fer_host.quantize.shipped import policy_path, tuned_path
from fer_host.recipe.quantize import AllocatorName, QuantizeConfig
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import LossConfig
from fer_host.train.digest import train_digest
from fer_host.train.loop import train
from fer_host.train.rows import train_split, validation_split
from fer_host.train.run import training_data
from fer_host.train.scoring import scores
from fer_host.train.teacher import load_teachers


def settings(recipe: Recipe) -> QuantizeConfig:
    """The recipe's ``[quantize]`` table.

    Raises:
        RecipeError: it has none.
    """
    if recipe.quantize is None:
        raise RecipeError(f"recipe {recipe.id}: has no [quantize] table; expected one such as hawqc_mbv2's")
    return recipe.quantize


def folded_network(recipe: Recipe, network: nn.Module | None = None) -> nn.Module:
    """A recipe's network with its batch norms folded: what gets bits."""
    return fold_batch_norms(network or load_network(recipe), recipe.input.channels, recipe.size_px)


@dataclass
class Workshop:
    """One recipe's network on one data set, and what has been measured of it; results are kept in ``folder``.

    Args:
        recipe: with a ``[quantize]`` table.
        data_path: see ``train.run.training_data``.
        folder: of traces, learning curves and resumable state; None takes one by the recipe's digest.
    """

    recipe: Recipe
    data_path: Path
    folder: Path | None = None

    def __post_init__(self) -> None:
        self.config = settings(self.recipe)
        self.source = load_network(self.recipe)
        self.source_sha256 = weights_sha256(self.source)
        self.network = folded_network(self.recipe, self.source)
        digest = digest_json([train_digest(self.recipe, self.data_path), self.source_sha256])[:12]
        self.state = self.folder or TRAIN_CACHE / f"{self.recipe.id}-hawqc-{digest}"
        self.state.mkdir(parents=True, exist_ok=True)

    @cached_property
    def data(self) -> FaceData:
        """All rows."""
        return training_data(self.recipe, self.data_path)

    @cached_property
    def _drawn(self) -> FaceData:
        """Images for the traces and then for the search: Training rows, which the float network was trained on."""
        rows = self.data.select(self.data.usage == TRAINING)
        rows = rows.select(rows.labels(self.recipe.labels) >= 0)
        n = self.config.trace_images + self.config.search_images
        if len(rows) <= self.config.trace_images:
            raise DataError(
                f"{self.data_path}: found {len(rows)} labelled Training images, expected more than "
                f"{self.config.trace_images} for the traces, and up to {self.config.search_images} for the search"
            )
        order = np.random.default_rng(self.config.seed).permutation(len(rows))[:n]
        drawn = rows.select(order)
        return drawn.select(which_read(drawn.images))

    def inputs(self, rows: FaceData) -> torch.Tensor:
        """(N, C, H, W) as the device would make them."""
        crops = np.stack([preprocess(image, self.recipe.input, self.recipe.input_hw) for image in rows.images])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()

    def trace_inputs(self) -> torch.Tensor:
        """(N, C, H, W): the images that the traces are a mean over."""
        return self.inputs(self._drawn.select(np.arange(self.config.trace_images)))

    @cached_property
    def table(self) -> SensitivityTable:
        """Sensitivities; the traces are measured once and kept."""
        traces = load_file(self._traces)
        return sensitivity_table(self.network, {name: value.numpy() for name, value in traces.items()})

    @property
    def trace_seconds(self) -> float:
        """What measuring the traces took, in this run or an earlier one; all searches share them."""
        return seconds_of(self._traces)

    @cached_property
    def _traces(self) -> Path:
        path = self.state / f"traces-{self.config.trace_images}-{self.config.seed}.safetensors"
        if not is_kept(path):
            keep_traces(path, self.network, self.trace_inputs())
        return path

    @cached_property
    def held_out_loss(self) -> HeldOutLoss:
        """Cross-entropy on the search images with weights on a policy's grids, no tuning, activations in float."""
        rows = self._drawn.select(np.arange(self.config.trace_images, len(self._drawn)))
        labels, n_classes = torch.from_numpy(rows.labels(self.recipe.labels)), len(self.recipe.label_names)
        return HeldOutLoss(self.network, self.inputs(rows), labels, n_classes)

    def search(self, name: AllocatorName, compression: float, agent: AgentConfig | None = None) -> BitPolicy:
        """A bit policy by the named allocator; ``agent`` None takes its own constants and the recipe's seed."""
        budget = budget_bytes(weights_per_channel(self.network), compression)
        if name in CLOSED_FORM:
            policy = CLOSED_FORM[name](self.table, budget)
        else:
            curve = self.state / f"{name}-{compression:g}.jsonl"
            curve.unlink(missing_ok=True)
            searcher = actor_critic if name == "actor_critic" else haq
            note = partial(_append, curve)
            policy = searcher(self.table, budget, self.held_out_loss, agent, note, self.config.seed)
        return dataclasses.replace(policy, source_sha256=self.source_sha256)

    def accuracy(self, network: nn.Module) -> float:
        """On the validation rows, by the recipe's own protocol."""
        return scores(network, self.recipe, validation_split(self.data)).accuracy

    def place(self, policy: BitPolicy, out: Path) -> Path:
        """Writes the weights moved to a policy's grids, without tuning."""
        return self._save(on_grids(self.network, policy), policy, out, 0.0, None)

    def tune(self, policy: BitPolicy, out: Path) -> Path:
        """Fine-tunes on a policy's grids, resuming a killed run, and writes the tuned weights.

        The epoch that ships is the last: with so few epochs, choosing the best would fit the validation rows.
        """
        network = on_grids(self.network, policy)
        before = self.accuracy(network.eval())
        config = self.config.tune
        name = digest_json([policy.bits, dataclasses.asdict(config)])[:12]

        def on_epoch(epoch: int, size_px: int, average: nn.Module, loss: float, minutes: float) -> None:
            found = scores(average, self.recipe, validation_split(self.data), size_px).accuracy
            print(f"epoch {epoch}: {size_px} px, loss {loss:.4f}, {found:.4f}, {minutes:.1f} min", flush=True)

        average, minutes = train(
            network,
            train_split(self.data, self.recipe, config),
            config,
            normalize=self.recipe.input,
            checkpoint=self.state / f"tune-{name}.pt",
            teacher=self._teacher(config.loss),
            on_epoch=on_epoch,
        )
        average = average.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in its stub
        return self._save(average, policy, out, minutes, before)

    def _teacher(self, loss: LossConfig) -> nn.Module | None:
        """The network that the recipe names: its own untuned one, or another recipe's."""
        return load_teachers(loss, self.recipe, self.source)

    def _save(self, network: nn.Module, policy: BitPolicy, out: Path, minutes: float, before: float | None) -> Path:
        found = self.accuracy(network.eval())
        accuracies = (self.accuracy(self.source), found if before is None else before, found)
        record = tuning_of(self.recipe.id, self.source_sha256, policy, self.network, minutes, accuracies)
        save_tuned(network, grids(network), record, out)
        return out


def _append(path: Path, episode: Episode) -> None:
    with path.open("a") as file:
        file.write(json.dumps(dataclasses.asdict(episode)) + "\n")


def run_search(
    recipe: Recipe, data: Path, name: AllocatorName | None, compression: float | None, out: Path | None
) -> Path:
    """``fer-host search``: chooses widths and writes the policy."""
    workshop = Workshop(recipe, data)
    name, compression = name or workshop.config.allocator, compression or workshop.config.compression
    policy = workshop.search(name, compression)
    target = out or policy_path(recipe, name, compression)
    save_policy(policy, target)
    return target


def run_tuning(workshop: Workshop, policy_file: Path | None, out: Path | None, untuned: bool = False) -> Path:
    """Tunes on a policy's grids, which is searched first where none is given; ``calibrate.tune`` calibrates the result.

    Args:
        workshop: of the recipe and its data.
        policy_file: by ``run_search``, or None.
        out: the file to write; None takes the zoo's.
        untuned: only move the weights to their grids.

    Raises:
        RecipeError: a policy that was made for other weights.
        DataError: a policy of another network.
    """
    recipe = workshop.recipe
    if policy_file is None:
        policy = workshop.search(workshop.config.allocator, workshop.config.compression)
    else:
        policy = load_policy(policy_file)
        if policy.source_sha256 not in ("", workshop.source_sha256):
            raise RecipeError(
                f"bit policy {policy_file}: was made for other weights of {recipe.id}; `fer-host search` makes one anew"
            )
        check_fits(policy, weights_per_channel(workshop.network))
    make = workshop.place if untuned else workshop.tune
    return make(policy, out or tuned_path(recipe, workshop.config.compression))
