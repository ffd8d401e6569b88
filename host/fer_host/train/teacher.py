"""A teacher's answer to what the student sees: another recipe's network behind a change of colors and normalization."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.nn import functional

from fer_edge.contract.preprocess import normalize_light
from fer_edge.contract.specs import InputSpec
from fer_host.errors import RecipeError
from fer_host.models.weights import load_network
from fer_host.recipe.recipe import Recipe, load_recipe
from fer_host.recipe.train import LossConfig

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as the device's preprocess weighs R, G and B


def load_teachers(loss: LossConfig, student: Recipe, untuned: nn.Module | None = None) -> nn.Module | None:
    """All that teaches a student: one network, or the mean of several; None where nothing does.

    Args:
        loss: names them.
        student: who learns.
        untuned: the student's own network before it is tuned, where a recipe may name itself.

    Raises:
        RecipeError: see ``load_teacher``.
        WeightsError: likewise.
    """
    if loss.teacher is None:
        return None
    itself = (student.id, student.origin)
    teachers = [
        untuned if untuned is not None and name in itself else load_teacher(name, student)
        for name in (loss.teacher, *loss.with_teachers)
    ]
    parts = tuple(slice(*each.slice) for each in student.label_sets) or (slice(None),)
    return teachers[0] if len(teachers) == 1 else Ensemble(teachers, parts)


def load_teacher(name: str, student: Recipe) -> nn.Module:
    """The trained network of the recipe ``name``, made to take the student's input and to answer in its labels.

    One that answers in several label sets teaches a student of some of them.

    Raises:
        RecipeError: no such recipe, its labels are not the student's, or the student's input hides the light that the
            teacher looks at.
        WeightsError: it has no trained weights.
    """
    recipe = load_recipe(name)
    if student.input.normalize not in (None, "fixed", recipe.input.normalize):
        raise RecipeError(
            f'recipe {student.id}: its input is made with normalize = "{student.input.normalize}", which leaves no '
            f"light for its teacher {name} ({recipe.input.normalize or 'fixed'}): name one of the same `normalize`"
        )
    answers = {each.labels: each.slice for each in recipe.label_sets}
    outputs: list[int] = []
    for wanted in student.label_sets:
        if wanted.labels not in answers:
            raise RecipeError(
                f"recipe {student.id}: its teacher {name} knows {_in_words(recipe)}, expected {_in_words(student)}: "
                "name a teacher of the student's own labels"
            )
        outputs += range(*answers[wanted.labels])
    return Teacher(folded(load_network(recipe)), recipe, student.input, tuple(outputs))


def _in_words(recipe: Recipe) -> str:
    return " and ".join(f"{each.id} ({len(each.labels)} classes)" for each in recipe.label_sets) or recipe.labels


def folded(network: nn.Module) -> nn.Module:
    """A network in eval mode with its batch norms folded into its convolutions, for a teacher only answers.

    It takes 0.5 to 0.9 of the time and answers within 4e-6. Networks that torch.fx cannot trace stay as they are.
    """
    network = network.eval()
    try:
        return fuse(network)
    except TraceError:
        return network


class Teacher(nn.Module):
    """A network that takes another recipe's input.

    Args:
        network: the teacher.
        recipe: the teacher's.
        student: how what comes in is normalized.
        outputs: of the network, those that the student learns from, in its order; empty: all.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, student: InputSpec, outputs: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.outputs = list(outputs) if outputs != tuple(range(recipe.n_outputs)) else []
        self.network, self.student, self.own, self.size_hw = network, student, recipe.input, recipe.input_hw
        self.reduced = bool(recipe.train) and recipe.train[-1].precision == "bfloat16"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, student's channels, H, W), normalized for the student -> logits (N, classes)."""
        x = as_input(x, self.student, self.own)
        if x.shape[2:] != self.size_hw:  # many networks take one size only
            x = functional.interpolate(x, self.size_hw, mode="bilinear", align_corners=False)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.reduced):  # as it was taught, which is faster
            logits: torch.Tensor = self.network(x)
        return logits[:, self.outputs].float() if self.outputs else logits.float()


class Ensemble(nn.Module):
    """The mean of several teachers' probabilities, in each label set, as logits: their softmax is the mean.

    Args:
        teachers: take the student's input, and give its outputs.
        parts: the outputs of each label set.
    """

    def __init__(self, teachers: list[nn.Module], parts: tuple[slice, ...]) -> None:
        super().__init__()
        self.teachers, self.parts = nn.ModuleList(teachers), parts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, student's channels, H, W) -> (N, classes)."""
        found = [teacher(x) for teacher in self.teachers]
        means = [
            torch.stack([torch.log_softmax(each[:, part], dim=1) for each in found]).logsumexp(dim=0)
            for part in self.parts
        ]
        return torch.cat(means, dim=1)


def as_input(x: torch.Tensor, found: InputSpec, wanted: InputSpec) -> torch.Tensor:
    """A batch as another recipe's network wants it; the same tensor where both want the same.

    Colors become gray as in ``preprocess``, and gray is repeated; colors that are gone stay so.

    Args:
        x: (N, channels, H, W) float32, normalized as ``found`` says.
        found: of the student.
        wanted: of the teacher.

    Returns:
        (N, channels, H, W) float32, normalized as ``wanted`` says.
    """
    parts = ("color", "mean", "std", "normalize")
    if all(getattr(found, part) == getattr(wanted, part) for part in parts):
        return x
    values = x * _planes(found.std, x) + _planes(found.mean, x)  # 0..1
    if found.color == "rgb" and wanted.color != "rgb":
        values = (values * _planes(_LUMA, x)).sum(dim=1, keepdim=True)
    values = values[:, : wanted.channels].expand(-1, wanted.channels, -1, -1)
    if found.normalize != wanted.normalize and wanted.normalize is not None:  # the student's own light is still there
        own = normalize_light(values.cpu().numpy(), wanted.normalize)
        values = torch.from_numpy(own).to(values.device)
    return (values - _planes(wanted.mean, x)) / _planes(wanted.std, x)


def _planes(values: tuple[float, ...], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)
