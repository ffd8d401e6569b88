"""Which variants are made: the recipe's, or float32 and those asked for."""

from __future__ import annotations

import pytest

from fer_host.bundle.assemble import wanted_variants
from fer_host.errors import RecipeError
from fer_host.recipe.convert import VARIANTS, ConvertConfig
from fer_host.recipe.recipe import load_recipe, recipe_names


def test_no_shipped_recipe_makes_onnx_variants_unless_asked() -> None:
    for name in recipe_names():
        assert not [variant for variant in wanted_variants(load_recipe(name), None) if variant.startswith("onnx")]


def test_several_may_be_asked_for() -> None:
    recipe = load_recipe("fer48")
    assert wanted_variants(recipe, "onnx_int8") == ("float32", "onnx_int8")
    assert wanted_variants(recipe, "int8,onnx,onnx_fp16") == ("float32", "int8", "onnx", "onnx_fp16")


@pytest.mark.parametrize("asked", ["int4", "int8,", "int8, onnx", ""])
def test_what_is_no_variant(asked: str) -> None:
    with pytest.raises(RecipeError, match=r"is no variant; expected one of float32, .*onnx_int8"):
        wanted_variants(load_recipe("fer48"), asked)


def test_every_variant_has_a_tolerance() -> None:
    config = ConvertConfig()
    found = {name: config.tolerance_of(name) for name in VARIANTS}
    assert found["onnx"] == found["float32"] < found["onnx_fp16"] < found["onnx_int8"] == found["int8"]
