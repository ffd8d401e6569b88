"""Tuned weights that ship, what is refused of a budget, and that the commands a refusal suggests are taken."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fer_host import calibrate, cli, pipeline
from fer_host.calibration import ranges
from fer_host.calibration.ranges import open_calibration, ranges_of_tuned
from fer_host.errors import DataError, HostError, RecipeError
from fer_host.files.paths import CALIBRATION_RANGES, RECIPES, ROOT, TUNED
from fer_host.models.weights import load_network, weights_sha256
from fer_host.quantize import hawqc
from fer_host.quantize.grids import save_tuned, tuning_of
from fer_host.quantize.policy import BitPolicy
from fer_host.quantize.shipped import MixedBudget, find_tuned
from fer_host.recipe.recipe import Recipe, load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

CommandsIn = Callable[[str], list[list[str]]]

# commands that refusals suggest for what ships


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a command came to once nothing of its arguments was refused."""
    found: list[str] = []

    def stop(recipe: Recipe, data: Path, folder: Path | None = None) -> None:
        hawqc.settings(recipe)  # the workshop's own refusal
        found.append(f"workshop of {data}")
        raise HostError("far enough")

    def convert(request: pipeline.ConvertRequest) -> None:
        found.append(f"convert {request.tuned}")

    for module in (hawqc, calibrate):
        monkeypatch.setattr(module, "Workshop", stop)
    monkeypatch.setattr(pipeline, "convert", convert)
    return found


@pytest.mark.parametrize(
    ("budget", "factor"),
    [
        (MixedBudget(compression=12.5), 12.5),
        (MixedBudget(kib=700), 12.4221),
        (MixedBudget(kib=710, compression=12.7), 12.7),
    ],
)
def test_suggested_commands_pass_every_refusal(
    budget: MixedBudget, factor: float, reached: list[str], commands_in: CommandsIn
) -> None:
    recipe = load_recipe("hawqc_mbv2")
    with pytest.raises(RecipeError, match=re.escape(f"budget of {budget}")) as caught:
        find_tuned(recipe, load_network(recipe), budget)
    search, qat, convert = commands_in(str(caught.value))
    arguments = cli._parser().parse_args(search)
    assert (arguments.model, arguments.compression) == ("hawqc_mbv2", factor)
    assert cli._parser().parse_args(qat).policy == arguments.out
    for command in (search, qat, convert):
        cli.main(command)
    assert reached == ["workshop of FER2013.npz", "workshop of FER2013.npz", "convert my.safetensors"]


def test_a_suggested_compression_keeps_a_budget_in_kib() -> None:
    for kib in (700.0, 681.3, 872.04):
        factor = MixedBudget(kib=kib).as_compression(8_868_880)
        assert factor is not None
        assert kib * 1024 - 8_868_880 / factor == pytest.approx(0, abs=10)
        assert 8_868_880 / factor <= kib * 1024
    assert MixedBudget(compression=9.93).as_compression(8_868_880) == 9.93
    assert MixedBudget().as_compression(8_868_880) is None


def test_weights_without_a_budget_need_no_search_of_their_own(
    reached: list[str], tmp_path: Path, commands_in: CommandsIn
) -> None:
    recipe = load_recipe("hawqc_mbv2")
    network = load_network(recipe)
    shipped = find_tuned(recipe, network, MixedBudget())
    other = dataclasses.replace(shipped.tuning, source_sha256="00" * 32)
    grids = {name: {part: torch.from_numpy(getattr(grid, part)) for part in ("integers", "scale", "bits")}
             for name, grid in shipped.load().layers.items()}  # fmt: skip
    save_tuned(shipped.folded, grids, other, tmp_path / "other.safetensors")
    with pytest.raises(RecipeError, match=r"other.safetensors was tuned from other weights") as caught:
        find_tuned(recipe, network, MixedBudget(), tmp_path / "other.safetensors")
    qat, convert = commands_in(str(caught.value))
    for command in (qat, convert):
        cli.main(command)
    assert reached == ["workshop of FER2013.npz", "convert my.safetensors"]


@pytest.mark.parametrize("budget", [MixedBudget(compression=40), MixedBudget(kib=100)])
def test_a_budget_that_no_widths_keep_has_no_commands(budget: MixedBudget) -> None:
    recipe = load_recipe("hawqc_mbv2")
    with pytest.raises(RecipeError, match=r"2 bits everywhere take 678.9 KiB \(compression 12.81\)") as caught:
        find_tuned(recipe, load_network(recipe), budget)
    assert "search" not in str(caught.value)


def test_a_recipe_without_quantize_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: list[str], commands_in: CommandsIn
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("larn")
    with pytest.raises(
        RecipeError, match=r"no \[quantize\] table: copy it to my.toml, .* without head_shares"
    ) as caught:
        find_tuned(recipe, load_network(recipe), MixedBudget(compression=6))
    assert cli.main(["search", "larn", "--data", "FER2013.npz"]) == 2  # what used to be suggested
    quantize = re.search(
        r"^\[quantize\]\n.*?(?=^\[\[licenses)", (RECIPES / "hawqc_mbv2.toml").read_text(), re.DOTALL | re.MULTILINE
    )
    assert quantize
    Path("my.toml").write_text(
        (RECIPES / "larn.toml").read_text() + quantize[0].replace(", head_shares = [0.7, 0.3]", "")
    )
    for command in commands_in(str(caught.value)):
        cli.main(command)
    assert reached == ["workshop of FER2013.npz", "workshop of FER2013.npz", "convert my.safetensors"]


def test_own_weights_have_no_tuned_ones() -> None:
    recipe = load_recipe("hawqc_mbv2")
    network = load_network(recipe)
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    with pytest.raises(RecipeError, match="leave WEIGHTS out, or take SCHEME=int8"):
        find_tuned(recipe, network, MixedBudget())


# where the ranges of tuned weights are


def test_ranges_travel_with_tuned_weights_and_never_clash(tmp_path: Path) -> None:
    shipped = TUNED / "hawqc_mbv2-9.93.safetensors"
    assert ranges_of_tuned(shipped) == CALIBRATION_RANGES / "mixed.hawqc_mbv2-9.93.json"
    assert ranges_of_tuned(shipped).is_file()
    own = [tmp_path / "a" / "my.safetensors", tmp_path / "b" / "my.safetensors", tmp_path / shipped.name]
    places = [ranges_of_tuned(file) for file in own]
    assert [place.parent for place in places] == [file.parent for file in own]
    assert places[0].name == "my.safetensors.ranges.json"
    for file in (*own, shipped):
        assert ranges._tuned_of(ranges_of_tuned(file)) == file


def test_tuned_weights_without_their_ranges_or_with_others_are_told_what_measures_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands_in: CommandsIn
) -> None:
    recipe = load_recipe("hawqc_mbv2")
    chosen = find_tuned(recipe, load_network(recipe), MixedBudget(compression=9))
    digest = weights_sha256(chosen.load().network)
    shipped = ranges_of_tuned(chosen.path)
    assert open_calibration(None, recipe, digest, own=shipped).weights_sha256 == digest  # type: ignore[union-attr]
    mine = tmp_path / "my own.safetensors"
    measured: list[tuple[object, ...]] = []
    monkeypatch.setattr(calibrate, "calibrate_tuned", lambda *arguments: measured.append(arguments) or mine)
    for content, said in ((None, "found no activation ranges"), (shipped.read_bytes(), "belong to other weights than")):
        if content is not None:
            ranges_of_tuned(mine).write_bytes(content)
        with pytest.raises(DataError, match=said) as caught:
            open_calibration(None, recipe, "ab" * 32, own=ranges_of_tuned(mine))
        (command,) = commands_in(str(caught.value))
        assert cli.main(command) == 0
    assert [(arguments[0].id, arguments[1], arguments[2]) for arguments in measured] == [  # type: ignore[attr-defined]
        ("hawqc_mbv2", mine, Path("FER2013.npz"))
    ] * 2


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_converts_tuned_weights() -> None:
    line = ["make", "--dry-run", "convert", "MODEL=larn", "SCHEME=mixed", "TUNED=my own.safetensors", "VENV=absent"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = re.findall(r"^absent/bin/fer-host (convert .*)$", done.stdout.replace("\\\n", ""), re.MULTILINE)
    arguments = cli._parser().parse_args(shlex.split(command))
    assert (arguments.model, arguments.variant, arguments.tuned) == ("larn", "mixed", Path("my own.safetensors"))


def test_a_record_rounds_a_budget_that_is_just_kept() -> None:
    """1023.96 bytes are recorded as 1024.0: above a budget of 1023.96 by rounding only."""
    network = nn.Sequential(nn.Linear(3, 2)).eval()
    policy = BitPolicy({"0": "22"}, "by hand")
    tuning = tuning_of("small", "00", policy, network, 0.0, (0.0, 0.0, 0.0))
    kept = dataclasses.replace(tuning, effective_bytes=1024.0)
    assert MixedBudget(kib=1024.0 / 1024).met_by(kept)
    assert MixedBudget(kib=1023.96 / 1024).met_by(kept)
    assert not MixedBudget(kib=1023.9 / 1024).met_by(kept)
