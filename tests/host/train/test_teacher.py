"""A teacher sees what its own preprocess would have made of the student's picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fer_edge.contract.errors import SchemaError
from fer_edge.contract.preprocess import preprocess
from fer_edge.contract.specs import InputSpec
from fer_host.errors import RecipeError
from fer_host.models.weights import load_network
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig
from fer_host.train.teacher import Teacher, as_input, folded, load_teacher, load_teachers

SPECS = {
    "gray": InputSpec("gray", 48, "bilinear", (0.508,), (0.255,)),
    "gray3": InputSpec("gray3", 48, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "rgb": InputSpec("rgb", 48, "bilinear", (0.575, 0.449, 0.401), (0.207, 0.190, 0.181)),
}


def batch(crop: np.ndarray, spec: InputSpec) -> torch.Tensor:
    return torch.from_numpy(preprocess(crop, spec, (64, 64))).permute(2, 0, 1).unsqueeze(0)


@pytest.mark.parametrize("wanted", SPECS)
@pytest.mark.parametrize("found", SPECS)
def test_it_is_what_preprocess_gives(found: str, wanted: str) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    if found != "rgb":  # what a gray student has seen of it is gray for any teacher
        crop = crop[:, :, 0]
    expected = batch(crop, SPECS[wanted])
    torch.testing.assert_close(as_input(batch(crop, SPECS[found]), SPECS[found], SPECS[wanted]), expected)


def test_the_same_input_is_the_same_tensor() -> None:
    x = torch.randn(1, 3, 8, 8)
    other = replace(SPECS["rgb"], source_px=112)
    assert as_input(x, SPECS["rgb"], other) is x
    assert as_input(x, SPECS["gray3"], SPECS["rgb"]) is not x


def test_a_teacher_answers_at_its_own_size() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(x.shape))
            return x.mean(dim=(2, 3))

    sizes: list[tuple[int, ...]] = []
    recipe, student = replace(load_recipe("lfer_ldl"), input=SPECS["gray"]), SPECS["gray3"]  # 96 px
    asked = Teacher(Mean(), recipe, student)
    white = [torch.full((2, 3, px, px), 1.0) for px in (64, 96)]
    x = [(each - torch.tensor(student.mean).view(3, 1, 1)) / torch.tensor(student.std).view(3, 1, 1) for each in white]
    for each in x:
        expected = torch.full((2, 1), (1 - recipe.input.mean[0]) / recipe.input.std[0])
        torch.testing.assert_close(asked(each), expected)
    assert sizes == [(2, 1, 96, 96)] * 2


def test_a_teacher_that_standardizes_is_given_what_its_preprocess_gives() -> None:
    crop = np.random.default_rng(0).integers(30, 120, (64, 64), dtype=np.uint8)
    wanted = InputSpec("gray", 64, "bilinear", (0.0,), (1.0,), "standardize")
    found = replace(SPECS["gray3"], source_px=64)
    torch.testing.assert_close(as_input(batch(crop, found), found, wanted), batch(crop, wanted), atol=1e-4, rtol=0)
    assert as_input(x := batch(crop, wanted), wanted, wanted) is x


def test_a_student_that_sees_no_light_cannot_have_a_teacher_that_does() -> None:
    with pytest.raises(RecipeError, match="which leaves no light for its teacher larn"):
        load_teacher("larn", load_recipe("fer48"))
    with pytest.raises(
        RecipeError, match=r"its teacher larn knows fer7 \(7 classes\), expected ferplus8 \(8 classes\)"
    ):
        load_teacher("larn", replace(load_recipe("lfer_ldl"), input=SPECS["gray"]))


@pytest.mark.parametrize(("student", "first"), [("lfer_ldl", 0), ("larn", 8)])
def test_a_teacher_of_two_label_sets_teaches_a_student_of_one(student: str, first: int) -> None:
    recipe, teacher = load_recipe(student), load_recipe("hawqc_mbv2")
    x = torch.rand(2, 1, *recipe.input_hw, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = load_teacher("hawqc_mbv2", recipe).eval()(x)
        seen = as_input(x, recipe.input, teacher.input)
        seen = nn.functional.interpolate(seen, teacher.input_hw, mode="bilinear", align_corners=False)
        whole = load_network(teacher).eval()(seen)
    assert found.shape == (2, recipe.n_outputs)
    torch.testing.assert_close(found, whole[:, first : first + recipe.n_outputs], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["larn", "lfer_ldl"])
def test_a_teacher_computes_in_the_precision_it_was_taught_in(name: str) -> None:
    class Product(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.append((x.flatten(1) @ x.flatten(1).T).dtype)
            return x.mean(dim=(2, 3))

    found: list[torch.dtype] = []
    recipe = load_recipe(name)
    x = torch.zeros(2, recipe.input.channels, *recipe.input_hw)
    assert Teacher(Product(), recipe, recipe.input)(x).dtype == torch.float32
    assert found == [torch.bfloat16 if recipe.train[-1].precision == "bfloat16" else torch.float32]


@pytest.mark.parametrize("name", ["fer48", "hawqc_mbv2", "lfer_ldl"])
def test_a_folded_teacher_answers_as_before(name: str) -> None:
    recipe = load_recipe(name)
    network = load_network(recipe).eval()
    x = torch.randn(2, recipe.input.channels, *recipe.input_hw, generator=torch.Generator().manual_seed(0))
    asked = folded(network)
    with torch.no_grad():
        torch.testing.assert_close(asked(x), network(x), atol=2e-5, rtol=0)
    has_norms = any(isinstance(part, nn.BatchNorm2d) for part in asked.modules())
    assert has_norms == (name == "lfer_ldl")  # which torch.fx cannot trace


def test_several_teachers_teach_their_mean() -> None:
    student = load_recipe("hawqc_mbv2_tiny")
    x = torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    names = ("hawqc_mbv2", "fer48")
    taught = load_teachers(LossConfig(0.5, 0.5, names[0], with_teachers=names[1:]), student)
    assert taught is not None
    alone = [load_teacher(name, student).eval() for name in names]
    with torch.no_grad():
        found, each = taught.eval()(x), [teacher(x) for teacher in alone]
    for first, last in ((0, 8), (8, 15)):
        expected = torch.stack([torch.softmax(one[:, first:last], dim=1) for one in each]).mean(dim=0)
        torch.testing.assert_close(torch.softmax(found[:, first:last], dim=1), expected, atol=2e-5, rtol=0)
    assert load_teachers(LossConfig(1.0), student) is None


def test_more_teachers_need_a_first() -> None:
    with pytest.raises(SchemaError, match="with_teachers: found without a teacher"):
        LossConfig(1.0, with_teachers=("fer48",))
