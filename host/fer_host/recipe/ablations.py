"""What can be left out of a paper's system, by name: ``fer-host train RECIPE --ablation NAME``."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from fer_host.errors import RecipeError
from fer_host.recipe.recipe import Recipe
from fer_host.recipe.train import LossConfig, TrainConfig

SAM_RHO = 0.05  # the radius of Foret et al. and of DDAMFN++


class Ablation(NamedTuple):
    """One row of a paper's ablation: another network, other constants, or both.

    Attributes:
        note: what is left out, or what is left.
        network: of ``MODELS``; None keeps the recipe's.
        loss: fields of ``LossConfig`` and their values.
        sam_rho: of the optimizer; None keeps the recipe's.
        loss_scale: how many times the paper's loss the recipe's is. Without that loss the learning rate is so many
            times the recipe's, and the weight decay so many times smaller, which are the paper's own again.
    """

    note: str
    network: str | None = None
    loss: dict[str, object] | None = None
    sam_rho: float | None = None
    loss_scale: float = 1.0


_NO_MAPS: dict[str, object] = {"attention": 0.0}  # fewer than two heads have no distance to keep
_ANY = {
    "sam": Ablation("with sharpness-aware minimization, two passes per step", sam_rho=SAM_RHO),
    "plain": Ablation("without sharpness-aware minimization", sam_rho=0.0),
}


def _ldam(stem: str) -> dict[str, Ablation]:
    return {
        "relu": Ablation("ReLU, no attention", f"shufflenet_v2{stem}"),
        "prelu": Ablation("PReLU, no attention", f"shufflenet_v2_prelu{stem}"),
    }


def _ldl(loss_scale: float = 1.0) -> dict[str, Ablation]:
    """LFER-LDL's rows, one module more in each; only the recipe itself learns label distributions."""

    def hard(note: str, network: str | None) -> Ablation:
        loss: dict[str, object] = {
            "combo": 0.0,
            "vote_share": 0.0,
            "teacher_share": 0.0,
            "teacher": None,
            "fer7_share": 0.0,
        }
        return Ablation(f"{note}, labels in place of distributions", network, loss, loss_scale=loss_scale)

    return {
        "baseline": hard("ShuffleNetV2", "lfer_ldl_shufflenet"),
        "output_module": hard("with the output module, no quadrants", "lfer_ldl_no_quadrants"),
        "hard_labels": hard("whole network", None),
        "no_combo": Ablation("no combo loss", None, {"combo": 0.0}),
    }


# by the network of the full system, or by the recipe where that has constants of its own
ABLATIONS: dict[str, dict[str, Ablation]] = {
    "larn": {
        "resnet13": Ablation("plain ResNet13", "larn_resnet13"),
        "irm": Ablation("pooled shortcut, no squeeze-and-excitation", "larn_irm"),
        "se_relu": Ablation("squeeze-and-excitation with ReLU", "larn_se_relu"),
    },
    "ddamfn": {
        "heads_0": Ablation("no attention head", "ddamfn_0_heads", _NO_MAPS),
        "heads_1": Ablation("one head", "ddamfn_1_heads", _NO_MAPS),
        "heads_3": Ablation("three heads", "ddamfn_3_heads"),
        "heads_4": Ablation("four heads", "ddamfn_4_heads"),
        "no_attention_loss": Ablation("heads that nothing drives apart", None, _NO_MAPS),
        "mfn": Ablation("the backbone with its face-recognition tail", "mfn", _NO_MAPS),
        "mobilefacenet": Ablation("MobileFaceNet", "mobilefacenet", _NO_MAPS),
    },
    "shufflenet_ldam": _ldam(""),
    "shufflenet_ldam_stem1": {
        **_ldam("_stem1"),
        "no_pool": Ablation("no max-pool behind the stem, four times the MACs", "shufflenet_ldam_stem1_no_pool"),
    },
    "lfer_ldl": _ldl(),
    "paper_lfer_ldl": _ldl(loss_scale=7.0),  # its comment says why
}


def ablations(recipe: Recipe) -> dict[str, Ablation]:
    """What the recipe can do without, by name; "sam" or "plain" for all that are trained and not pruned."""
    if recipe.prune is not None:
        return {}
    sam = any(cycle.optimizer.sam_rho for cycle in recipe.train)
    name = "plain" if sam else "sam"
    return {**ABLATIONS.get(recipe.id, ABLATIONS.get(recipe.network, {})), name: _ANY[name]}


def ablated(recipe: Recipe, name: str) -> Recipe:
    """The recipe with one thing changed; its id is ``<recipe>-<ablation>``, so that it never passes for the recipe.

    Raises:
        RecipeError: the recipe has no such ablation.
    """
    known = ablations(recipe)
    if name not in known:
        listed = ", ".join(known) or "none: it is pruned, not trained"
        raise RecipeError(f"recipe {recipe.id}: has no ablation {name!r}; expected one of {listed}")
    change = known[name]
    cycles = tuple(_changed(cycle, change) for cycle in recipe.train)
    return replace(recipe, id=f"{recipe.id}-{name}", network=change.network or recipe.network, train=cycles)


def _changed(cycle: TrainConfig, change: Ablation) -> TrainConfig:
    loss: LossConfig = replace(cycle.loss, **(change.loss or {}))  # type: ignore[arg-type]  # names are LossConfig's
    optimizer = replace(
        cycle.optimizer,
        lr=cycle.optimizer.lr * change.loss_scale,
        weight_decay=cycle.optimizer.weight_decay / change.loss_scale,
        sam_rho=cycle.optimizer.sam_rho if change.sam_rho is None else change.sam_rho,
    )
    return replace(cycle, loss=loss, optimizer=optimizer)
