"""``search``, ``qat`` and ``convert --tuned`` on a small generated set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fer_edge.contract.bundle import open_bundle
from fer_host import cli
from fer_host.bundle.golden import golden_crops
from fer_host.calibrate import tune
from fer_host.data.faces import TRAINING
from fer_host.detector.networks import load_detector_model
from fer_host.errors import DataError, RecipeError
from fer_host.files.paths import RECIPES
from fer_host.quantize import hawqc
from fer_host.quantize import shipped as shipped_tunings
from fer_host.quantize.agents import AgentConfig
from fer_host.quantize.finetune import on_grids
from fer_host.quantize.fold import quantized_layers
from fer_host.quantize.grids import load_tuned, read_tuning
from fer_host.quantize.hawqc import Workshop
from fer_host.quantize.policy import BitPolicy, digits, load_policy, policy_bytes, weights_per_channel
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig
from fer_host.train.teacher import Teacher

pytestmark = pytest.mark.usefixtures("one_thread")

CommandsIn = Callable[[str], list[list[str]]]

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# Constants so small that a search takes seconds and a tuning one step.
QUANTIZE = """
[quantize]
allocator = "knapsack"
compression = 5.0
trace_images = 2
search_images = 6
seed = 7

[quantize.tune]
start = "previous"
min_votes = 0
phases = [{ epochs = 1, size_px = 48 }]
seed = 5
batch = 16
ema_decay = 0.5
clip_norm = 2.0
optimizer = { kind = "adam", lr = 1e-3, momentum = 0.9, weight_decay = 0.0, sam_rho = 0.0 }
schedule = { kind = "constant" }
loss = { vote_share = 0.0 }

[quantize.tune.augment]
flip_p = 0.5
rotate_deg = 0.0
scale = 0.0
aspect = 0.0
shift = 0.0
brightness = 0.0
contrast = 0.0
erase_p = 0.0
erase_area = [0.02, 0.15]
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """A working folder with a data set, the state of searches, and two recipes: LARN's weights, and the flagship's."""

    folder: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.toml"

    @property
    def flagship(self) -> Path:
        return self.folder / "flagship.toml"

    @property
    def data(self) -> Path:
        return self.folder / "set"


def write_set(folder: Path, labels: tuple[str, ...], n: int) -> None:
    """``n`` Training faces a label and one to test: the shippable crops in turn, so that ranges are a face's."""
    recipe = load_recipe("larn")
    crops = iter(golden_crops(load_detector_model(recipe.detector), recipe.align))
    for label in labels:
        for part, name in [*(("train", f"{i}.png") for i in range(n)), ("test", "0.png")]:
            path = folder / part / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), next(crops)[:, :, ::-1])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("hawqc"))
    place.recipe.write_text((RECIPES / "larn.toml").read_text() + QUANTIZE)
    whole = (RECIPES / "hawqc_mbv2.toml").read_text()
    start, end = whole.index("[quantize]"), whole.index("[[licenses]]")
    place.flagship.write_text(
        whole[:start].replace('"dynamic", "int8", ', "")
        + QUANTIZE.replace("48 }", "96 }").replace("vote_share", "head_shares = [0.7, 0.3], vote_share")
        + whole[end:]
    )
    write_set(place.data, LABELS, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setattr(hawqc, "TRAIN_CACHE", place.folder / "cache")
        yield place


@pytest.fixture(scope="module")
def workshop(place: Place) -> Workshop:
    return Workshop(load_recipe(str(place.recipe)), place.data)


def random_policy(network: nn.Module, seed: int) -> BitPolicy:
    random = np.random.default_rng(seed)
    bits = {name: random.integers(2, 9, len(layer.weight)) for name, layer in quantized_layers(network).items()}
    return BitPolicy(digits(bits), "random")


def test_from_a_refusal_by_its_own_commands_to_a_bundle(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, commands_in: CommandsIn
) -> None:
    """Every suggested command is run as it stands, but for the files that only the user has."""
    monkeypatch.setattr(shipped_tunings, "TUNED", place.folder / "none")

    def run(arguments: list[str], *more: str) -> tuple[int, str, str]:
        own = {"FER2013.npz": str(place.data), "RECIPE.toml": str(place.flagship)}
        status = cli.main([*(own.get(word, word) for word in arguments), *more])
        return status, *capsys.readouterr()

    bundle = ["convert", str(place.flagship), "--out", "bundle", "--quiet"]
    status, _, error = run([*bundle, "--compression", "6"])
    assert status == 2
    search, qat, convert = commands_in(error)
    assert [command[0] for command in (search, qat, convert)] == ["search", "qat", "convert"]

    status, out, _ = run(search)
    assert (status, out.split()) == (0, ["my.bits.json"])
    policy = load_policy(Path("my.bits.json"))
    folded = hawqc.folded_network(load_recipe(str(place.flagship)))
    assert policy_bytes(policy, weights_per_channel(folded)) <= policy.budget_bytes

    status, out, error = run(qat, "--untuned")
    assert status == 0, error
    tuned, ranges = Path("my.safetensors"), Path("my.safetensors.ranges.json")
    assert read_tuning(tuned).compression >= 6
    assert "calibration note: 37 faces" in out  # of 42, without the validation split

    status, out, error = run(convert, "--out", "bundle", "--quiet")
    assert status == 0, error
    manifest = open_bundle(Path("bundle")).manifest
    assert manifest.default_variant == "mixed"
    grids = load_tuned(folded, tuned).layers
    mean = sum(int(g.bits.astype(int).sum()) * g.integers[0].size for g in grids.values())
    mixed = manifest.variant("mixed").layers
    assert sum(layer.effective_bits * layer.n_weights for layer in mixed) == pytest.approx(mean, rel=1e-3)

    measured = ranges.read_bytes()
    ranges.unlink()  # of weights that travelled alone: refused, and the remedy measures the same
    status, _, error = run(convert, "--out", "bundle", "--quiet")
    assert (status, "my.safetensors.ranges.json" in error) == (2, True)
    (calibrate,) = commands_in(error)
    assert run(calibrate)[0] == 0
    assert ranges.read_bytes() == measured


def test_one_step_of_tuning_moves_the_weights_on_their_grids(workshop: Workshop, tmp_path: Path) -> None:
    policy = workshop.search("knapsack", 5.0)
    placed, tuned = (
        workshop.place(policy, tmp_path / "p.safetensors"),
        workshop.tune(policy, tmp_path / "t.safetensors"),
    )
    before, after = (load_tuned(hawqc.folded_network(workshop.recipe), file).layers for file in (placed, tuned))
    assert any(not np.array_equal(before[name].scale, after[name].scale) for name in before)
    assert all(np.array_equal(before[name].bits, after[name].bits) for name in before)
    record = read_tuning(tuned)
    assert record.source_sha256 == policy.source_sha256 == workshop.source_sha256
    assert record.accuracy_before == read_tuning(placed).accuracy
    assert record.policy.allocator == "knapsack"


def test_the_held_out_loss_is_that_of_a_network_on_its_grids(workshop: Workshop) -> None:
    rows = workshop._drawn.select(np.arange(2, len(workshop._drawn)))
    assert len(rows) == 6
    assert set(rows.usage) == {TRAINING}
    inputs, labels = workshop.inputs(rows), torch.from_numpy(rows.labels("fer7"))

    def loss(network: nn.Module) -> float:
        with torch.no_grad():
            return float(functional.cross_entropy(network(inputs), labels))

    found = []
    for seed in (1, 2):
        policy = random_policy(workshop.network, seed)
        found.append(workshop.held_out_loss(policy))
        # tuning keeps a step's logarithm, which moves the few weights that lie half way between two grid points
        assert found[-1] == pytest.approx(loss(on_grids(workshop.network, policy).eval()), rel=1e-3)
    assert abs(found[0] - found[1]) > 0.01
    assert workshop.held_out_loss.in_float() == pytest.approx(loss(workshop.network), rel=1e-4)


def test_an_agents_search_keeps_a_curve_and_takes_the_recipes_seed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = workshop.search("haq", 5.0, AgentConfig(explore=2, episodes=2, batch=4, hidden=8))
    assert policy.source_sha256 == workshop.source_sha256
    assert policy.notes["held_out_loss"] == pytest.approx(workshop.held_out_loss(policy))
    assert len((workshop.state / "haq-5.jsonl").read_text().splitlines()) == 4
    for name in ("haq", "actor_critic"):
        seen: list[object] = []
        monkeypatch.setattr(hawqc, name, lambda *arguments, into=seen: into.extend(arguments) or policy)
        workshop.search(name, 5.0)  # type: ignore[arg-type]
        assert seen[-1] == 7  # of [quantize], with the agent's own constants
        assert seen[3] is None


def test_the_traces_say_how_long_they_took_in_a_later_run_too(workshop: Workshop) -> None:
    _ = workshop.table
    again = Workshop(workshop.recipe, workshop.data_path)
    assert again.trace_seconds == workshop.trace_seconds >= 0
    (file,) = workshop.state.glob("traces-*")
    from safetensors.torch import load_file, save_file

    old = load_file(file)
    save_file(old, file, {"n": "2", "change": "1"})  # as it was before they were timed
    assert Workshop(workshop.recipe, workshop.data_path).trace_seconds >= 0
    assert all(torch.equal(old[name], value) for name, value in load_file(file).items())


# what can only fail at the end is refused at the start


def test_what_cannot_be_calibrated_is_refused_before_it_is_tuned(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "few", LABELS[:2], 6)

    def too_late(*_: object) -> Path:
        raise AssertionError("tuned before it was known that nothing can be calibrated")

    monkeypatch.setattr(Workshop, "tune", too_late)
    monkeypatch.setattr(Workshop, "search", too_late)
    with pytest.raises(DataError, match=r"different faces.*expected at least 16; give a set with more fer7 labels"):
        tune(load_recipe(str(place.recipe)), tmp_path / "few", None, tmp_path / "t.safetensors")


def test_tuning_is_taught_by_the_network_that_the_recipe_names(workshop: Workshop) -> None:
    def named(teacher: str | None) -> nn.Module | None:
        share = 0.0 if teacher is None else 0.5
        return workshop._teacher(LossConfig(vote_share=0.0, teacher_share=share, teacher=teacher))

    assert named(None) is None
    assert named(workshop.recipe.id) is workshop.source
    assert isinstance(named("shufflenet_ldam"), Teacher)
    with pytest.raises(RecipeError, match=r"its teacher .* knows"):
        named("lfer_ldl")  # of eight labels
