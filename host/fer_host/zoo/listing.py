"""``fer-host models``: what each network costs, by every convention in use, and which trained recipes ship."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fer_host.models import MODELS
from fer_host.models.counts import Convention, counts
from fer_host.models.weights import build_network, load_network, zoo_path
from fer_host.recipe.ablations import ablations
from fer_host.recipe.recipe import Recipe, load_recipe, paper_recipe_names, recipe_names
from fer_host.zoo.card import read_card

SCHEMA = "fer-edge/models/1"


class PaperForm(NamedTuple):
    """The form in which a paper counts its network."""

    network: str
    system: str
    n_classes: int
    in_channels: int
    size_px: int
    convention: Convention


PAPER_FORMS = (
    PaperForm("larn", "LARN", 7, 3, 48, "all"),
    PaperForm("larn", "LARN, gray", 7, 1, 48, "all"),
    PaperForm("larn_se_relu", "LARN: SE with ReLU", 7, 3, 48, "all"),
    PaperForm("larn_irm", "LARN: pooled shortcut only", 7, 3, 48, "all"),
    PaperForm("larn_resnet13", "LARN: plain ResNet13", 7, 3, 48, "all"),
    PaperForm("ddamfn", "DDAMFN", 7, 3, 112, "ddamfn"),
    *(PaperForm(f"ddamfn_{n}_heads", f"DDAMFN, {n} heads", 7, 3, 112, "ddamfn") for n in (0, 1, 3, 4)),
    PaperForm("mfn", "DDAMFN: its backbone MFN", 7, 3, 112, "ddamfn"),
    PaperForm("mobilefacenet", "DDAMFN: MobileFaceNet", 7, 3, 112, "ddamfn"),
    PaperForm("shufflenet_ldam", "ShuffleNetV2+LDAM", 7, 1, 48, "shufflenet_ldam"),
    PaperForm("shufflenet_ldam_stem1", "ShuffleNetV2+LDAM, stem stride 1", 7, 1, 48, "shufflenet_ldam"),
    PaperForm("shufflenet_v2_prelu", "ShuffleNetV2+LDAM: PReLU only", 7, 1, 48, "shufflenet_ldam"),
    PaperForm("shufflenet_v2", "ShuffleNetV2+LDAM: ReLU", 7, 1, 48, "shufflenet_ldam"),
    PaperForm("lfer_ldl", "LFER-LDL", 7, 3, 224, "lfer_ldl"),
    PaperForm("lfer_ldl_no_quadrants", "LFER-LDL: output module only", 7, 3, 224, "lfer_ldl"),
    PaperForm("lfer_ldl_shufflenet", "LFER-LDL: ShuffleNet baseline", 7, 3, 224, "lfer_ldl"),
    PaperForm("mobilenet_v2", "thesis: MobileNetV2", 8, 3, 224, "all"),
    PaperForm("mobilenet_v2", "thesis: MobileNetV2, ImageNet", 1000, 3, 224, "all"),
)


@dataclass(frozen=True)
class ModelRow:
    """One network in one form.

    Attributes:
        name: network of ``MODELS``, or the recipe.
        system: the paper's system, or the recipe's summary.
        parameters: all of them.
        paper_parameters: as its paper counts them.
        macs: multiply-accumulates of one picture.
        paper_flops: as its paper counts them; None where it states no convention.
        input: (channels, height, width).
        classes: of the output.
        weights: whether trained weights ship.
        accuracy: float, by protocol, PublicTest; empty where no weights ship.
    """

    name: str
    system: str
    parameters: int
    paper_parameters: int
    macs: int
    paper_flops: int | None
    input: tuple[int, int, int]
    classes: int
    weights: bool
    accuracy: dict[str, float]


def paper_rows() -> list[ModelRow]:
    """Every network and ablation in its paper's own form."""
    rows = []
    for form in PAPER_FORMS:
        network = MODELS[form.network](form.n_classes, form.in_channels, form.size_px)
        found = counts(network, form.in_channels, form.size_px, form.convention)
        rows.append(
            ModelRow(
                form.network,
                form.system,
                found.parameters,
                found.paper_parameters,
                found.macs,
                found.paper_flops,
                (form.in_channels, form.size_px, form.size_px),
                form.n_classes,
                False,
                {},
            )
        )
    return rows


def recipe_rows() -> list[ModelRow]:
    """Every recipe as it is trained and converted here."""
    return [recipe_row(load_recipe(name)) for name in recipe_names()]


def recipe_row(recipe: Recipe) -> ModelRow:
    """One recipe, with its measured accuracy where it has been trained."""
    convention: Convention = next((f.convention for f in PAPER_FORMS if recipe.network.startswith(f.network)), "all")
    network = load_network(recipe) if zoo_path(recipe).is_file() else build_network(recipe)  # pruned ones are smaller
    found = counts(network, recipe.input.channels, recipe.size_px, convention)
    card = read_card(zoo_path(recipe))
    return ModelRow(
        recipe.id,
        recipe.summary,
        found.parameters,
        found.paper_parameters,
        found.macs,
        found.paper_flops,
        (recipe.input.channels, *recipe.input_hw),
        recipe.n_outputs,
        zoo_path(recipe).is_file(),
        {} if card is None else {row.protocol: row.accuracy for row in card.float_scores},
    )


def paper_recipe_rows() -> list[ModelRow]:
    """Every recipe with a paper's own constants."""
    return [recipe_row(load_recipe(name)) for name in paper_recipe_names()]


def ablation_rows() -> dict[str, dict[str, str]]:
    """By recipe, what can be left out of it and what then is left."""
    return {
        name: {key: ablation.note for key, ablation in ablations(load_recipe(name)).items()}
        for name in (*recipe_names(), *paper_recipe_names())
    }


def format_table(
    recipes: list[ModelRow], papers: list[ModelRow], own: list[ModelRow], left_out: dict[str, dict[str, str]]
) -> str:
    """All lists for the terminal."""
    head = f"{'':30} {'parameters':>11} {'paper':>11} {'MACs':>9} {'FLOPs, paper':>13} {'input':>11} {'out':>5}"
    return "\n".join(
        [
            "recipes (make convert MODEL=…)",
            f"{head}  float accuracy on PublicTest",
            *(_line(row.name, row) for row in recipes),
            "",
            "networks in their papers' form",
            head,
            *(_line(row.system, row) for row in papers),
            "",
            "recipes with the papers' constants (fer-host train …; fer-host prune paper_gated_pruning)",
            head,
            *(_line(row.name, row) for row in own),
            "",
            "ablations (fer-host train RECIPE --ablation NAME)",
            *(f"{name:30} {', '.join(notes)}" for name, notes in left_out.items() if notes),
        ]
    )


def _line(name: str, row: ModelRow) -> str:
    flops = "-" if row.paper_flops is None else f"{row.paper_flops / 1e6:.3f} M"
    size = "x".join(map(str, row.input))
    accuracy = ", ".join(f"{key} {value:.2%}" for key, value in row.accuracy.items() if "without" not in key)
    line = (
        f"{name:30} {row.parameters:>11,} {row.paper_parameters:>11,} {row.macs / 1e6:>7.1f} M {flops:>13} "
        f"{size:>11} {row.classes:>5}  {accuracy or ('weights ship' if row.weights else '')}"
    )
    return line.rstrip()
