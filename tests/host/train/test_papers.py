"""The papers' own recipes decode, build, and train on generated sets; ablations change what they say they change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fer_edge.contract.errors import SchemaError
from fer_host import cli
from fer_host.errors import DataError, RecipeError, WeightsError
from fer_host.files.paths import RECIPES
from fer_host.models import MODELS
from fer_host.models.weights import build_network, load_network, save_weights
from fer_host.recipe.ablations import ablated, ablations
from fer_host.recipe.recipe import Recipe, load_recipe, paper_recipe_names, recipe_names
from fer_host.recipe.train import Phase
from fer_host.train import run as run_module
from fer_host.train import teacher as teacher_module
from fer_host.train.identities import run_identities
from fer_host.train.loop import train
from fer_host.train.parallel import Team
from fer_host.train.rows import train_split
from fer_host.train.run import fit, training_data

ALONE = Team(0, 1, torch.device("cpu"))
EXPRESSIONS = [name for name in paper_recipe_names() if name != "paper_vggface2"]


@pytest.fixture(scope="module")
def rafdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RAF-DB's layout: 14 training and 7 test faces, two and one of each label, in color."""
    root = tmp_path_factory.mktemp("rafdb")
    (root / "Image" / "aligned").mkdir(parents=True)
    (root / "EmoLabel").mkdir()
    rows = [(f"train_{i:05d}", i % 7 + 1) for i in range(14)] + [(f"test_{i:04d}", i + 1) for i in range(7)]
    (root / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{n}.jpg {label}\n" for n, label in rows))
    random = np.random.default_rng(0)
    for name, label in rows:
        face = random.integers(0, 60, (100, 100, 3)) + 25 * label
        assert cv2.imwrite(str(root / "Image" / "aligned" / f"{name}_aligned.jpg"), face.astype(np.uint8))
    return root


def smaller(recipe: Recipe, batch: int = 2) -> Recipe:
    """The same constants on a batch that two cores turn over in a second."""
    return replace(recipe, train=tuple(replace(cycle, batch=batch) for cycle in recipe.train))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_papers_recipe_takes_two_steps(name: str, rafdb: Path, tmp_path: Path) -> None:
    recipe = smaller(load_recipe(name))
    assert recipe.id == name
    data = training_data(recipe, rafdb, quiet=True)
    assert data.images.ndim == (4 if recipe.input.color == "rgb" else 3)
    cycle = recipe.train[0]
    torch.manual_seed(0)
    network = build_network(recipe)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    teacher = build_network(load_recipe(cycle.loss.teacher)) if cycle.loss.teacher else None
    average, _ = train(
        network,
        train_split(data, recipe, cycle),
        cycle,
        normalize=recipe.input,
        checkpoint=tmp_path / "c.pt",
        teacher=teacher,
        on_epoch=lambda *_: None,
        stop_after=2,
    )
    changed = {key for key, value in average.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith(("classifier.", "fc.")) for key in changed)
    moved_body = any(not key.startswith(("classifier.", "fc.")) for key in changed)
    assert moved_body == (cycle.trainable == "all")
    assert all(torch.isfinite(value).all() for value in average.state_dict().values())


def test_a_teacher_may_see_other_colors_than_its_student(
    rafdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_module, "load_network", build_network)
    recipe = smaller(load_recipe("larn"), 4)  # gray; its teacher has three channels
    loss = replace(recipe.train[0].loss, teacher_share=0.5, teacher="paper_larn")
    recipe = replace(recipe, train=(replace(recipe.train[0], phases=(Phase(1, 48),), loss=loss),))
    fit(recipe, training_data(recipe, rafdb, quiet=True), tmp_path, ALONE)
    assert load_network(recipe, tmp_path / "best.safetensors").get_parameter("classifier.weight").isfinite().all()


def test_the_head_of_a_resnet_is_trained_alone(rafdb: Path, tmp_path: Path) -> None:
    recipe = smaller(load_recipe("paper_resnet50"))
    recipe = replace(recipe, input=replace(recipe.input, source_px=32))
    cycle = replace(recipe.train[0], trainable="head", phases=(Phase(1, 32),))
    network = build_network(recipe)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    average, _ = train(
        network,
        train_split(training_data(recipe, rafdb, quiet=True), recipe, cycle),
        cycle,
        normalize=recipe.input,
        checkpoint=tmp_path / "c.pt",
        on_epoch=lambda *_: None,
        stop_after=2,
    )
    changed = {key for key, value in average.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.weight", "fc.bias"}


def test_sam_around_adam_does_not_decay_weights() -> None:
    """SAM(Adam, lr, rho=0.05) is what the official code says; Adam's own decay is 0."""
    optimizer = load_recipe("paper_ddamfn_sam").train[0].optimizer
    assert (optimizer.kind, optimizer.weight_decay, optimizer.sam_rho) == ("adam", 0.0, 0.05)


def test_every_paper_has_a_recipe() -> None:
    systems = {load_recipe(name).network for name in paper_recipe_names()}
    assert {"larn", "ddamfn", "shufflenet_ldam", "lfer_ldl", "mobilenet_v2", "resnet50"} == systems
    assert not set(paper_recipe_names()) & set(recipe_names())
    assert all("never run here" in load_recipe(name).summary for name in paper_recipe_names())


def test_the_teacher_is_resnet50() -> None:
    assert sum(p.numel() for p in MODELS["resnet50"](1000, 3, 224).parameters()) == 25_557_032


# --- the thesis' face-recognition stage


def identities(root: Path, n: int = 3) -> Path:
    for i in range(n):
        folder = root / ("train" if i else "test") / f"n{i + 1:06d}"
        folder.mkdir(parents=True)
        for j in range(15):  # of which one is held out
            face = np.full((40, 36, 3), 40 + 70 * i, dtype=np.uint8)
            face[2 * j : 2 * j + 5] = 255
            assert cv2.imwrite(str(folder / f"{j:04d}_01.jpg"), face)
    return root


@pytest.fixture
def few_people() -> Recipe:
    """paper_vggface2 with three people and small pictures; its start is random: ImageNet's is another test's."""
    recipe = smaller(load_recipe("paper_vggface2"), 4)
    assert recipe.identities == 9131
    assert [(c.trainable, c.phases[0].epochs, c.optimizer.lr) for c in recipe.train] == [
        ("head", 1, 1e-3),
        ("all", 10, 1e-4),
    ]
    head, whole = (replace(cycle, phases=(Phase(1, 32),)) for cycle in recipe.train)
    return replace(
        recipe,
        identities=3,
        size_px=32,
        train=(replace(head, start="random"), whole),
        input=replace(recipe.input, source_px=32),
    )


def test_people_are_learned_head_first_and_lend_their_body(few_people: Recipe, tmp_path: Path) -> None:
    tree = identities(tmp_path / "vgg")
    with pytest.raises(DataError, match="found 3 identities, expected 4"):
        run_identities(replace(few_people, identities=4), tree, tmp_path / "w.safetensors", tmp_path / "x")
    out = run_identities(few_people, tree, tmp_path / "w.safetensors", tmp_path / "cache")
    curve = [json.loads(line) for line in (tmp_path / "w.curve.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in curve] == [0, 1]
    head, whole = (torch.load(tmp_path / "cache" / f"cycle-{i}.pt", weights_only=True)["model"] for i in (1, 2))
    torch.manual_seed(few_people.train[0].seed)
    start = build_network(few_people).state_dict()
    for key, value in start.items():
        in_head = key.startswith("classifier.")
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(head[key], value) != in_head, key
    assert not torch.equal(whole["features.0.0.weight"], start["features.0.0.weight"])
    assert load_network(few_people, out).get_parameter("classifier.1.weight").shape == (3, 1280)


def test_expressions_start_from_the_body_that_knows_faces(
    few_people: Recipe, rafdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    faces = build_network(few_people)
    save_weights(faces, tmp_path / "faces.safetensors")
    monkeypatch.setattr(run_module, "load_recipe", lambda _: few_people)
    recipe = smaller(load_recipe("paper_mobilenet_v2"))
    cycle = replace(recipe.train[0], phases=(Phase(1, 32),))
    recipe = replace(recipe, train=(cycle,), size_px=32, input=replace(recipe.input, source_px=32))
    data = training_data(recipe, rafdb, quiet=True)
    with pytest.raises(WeightsError, match="ships no trained weights"):
        fit(recipe, data, tmp_path / "a", ALONE)
    shipped = load_network(few_people, tmp_path / "faces.safetensors")
    monkeypatch.setattr(run_module, "load_network", lambda *_: shipped)
    fit(recipe, data, tmp_path / "b", ALONE)
    trained = torch.load(tmp_path / "b" / "cycle-1.pt", weights_only=True)["model"]
    expected = faces.state_dict()["features.1.conv.0.0.weight"]
    torch.testing.assert_close(trained["features.1.conv.0.0.weight"], expected, atol=1e-3, rtol=1e-3)


def test_a_start_from_faces_names_them() -> None:
    cycle = load_recipe("paper_mobilenet_v2").train[0]
    with pytest.raises(SchemaError, match="faces"):
        replace(cycle, faces=None)


def test_people_are_not_expressions(tmp_path: Path) -> None:
    text = (RECIPES / "paper" / "paper_vggface2.toml").read_text()
    (tmp_path / "r.toml").write_text(text.replace("identities = 9131\n", ""))
    with pytest.raises(RecipeError, match="identities"):
        load_recipe(str(tmp_path / "r.toml"))


def test_a_network_that_tells_people_apart_is_not_bundled(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "paper_vggface2"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "tells people apart" in line


# --- ablations


def test_every_ablation_builds_and_differs() -> None:
    for name in (*recipe_names(), *paper_recipe_names()):
        recipe = load_recipe(name)
        for ablation in ablations(recipe):
            other = ablated(recipe, ablation)
            assert other.id == f"{name}-{ablation}"
            assert (other.network, other.train) != (recipe.network, recipe.train)
            assert other.network in MODELS
            n_maps = {"ddamfn": 2, "ddamfn_3_heads": 3, "ddamfn_4_heads": 4}.get(other.network, 0)
            assert n_maps or not any(cycle.loss.attention for cycle in other.train)


@pytest.mark.parametrize(
    ("name", "full", "hard"),
    [
        # the paper's own 0.01 and 1e-4; its recipe's loss is seven times the paper's
        ("paper_lfer_ldl", (1.0, 7.0, 0.01 / 7, 7e-4), (0.0, 0.0, 0.01, 1e-4)),
        # scaled to two cores: votes in the teacher's place, one rate for all rows
        ("lfer_ldl", (1.0, 0.2, 0.05, 5e-4), (0.0, 0.0, 0.05, 5e-4)),
    ],
)
def test_only_lfer_ldls_last_row_learns_distributions(
    name: str, full: tuple[float, ...], hard: tuple[float, ...]
) -> None:
    """82.02 baseline, 82.49 + output module, 83.85 + quadrants, 87.15 + label distributions."""
    recipe = load_recipe(name)
    rows = {key: ablated(recipe, key) for key in ("baseline", "output_module", "hard_labels")} | {"all": recipe}
    networks = {key: row.network for key, row in rows.items()}
    assert networks == {
        "baseline": "lfer_ldl_shufflenet",
        "output_module": "lfer_ldl_no_quadrants",
        "hard_labels": "lfer_ldl",
        "all": "lfer_ldl",
    }
    for key, row in rows.items():
        expected = full if key == "all" else hard
        for cycle, own in zip(row.train, recipe.train, strict=True):
            loss = cycle.loss
            found = (loss.vote_share + loss.teacher_share, loss.combo)
            assert found == pytest.approx(expected[:2], rel=1e-5), key
            assert (loss.teacher is None) == (key != "all" or own.loss.teacher is None)
            assert replace(cycle, loss=own.loss, optimizer=own.optimizer) == own
        optimizer = row.train[0].optimizer
        assert (optimizer.lr, optimizer.weight_decay) == pytest.approx(expected[2:], rel=1e-5), key
    assert recipe.train[-1].loss.teacher is not None


@pytest.mark.parametrize("name", ["heads_0", "heads_3", "mfn"])
def test_an_ablation_takes_a_step(name: str, rafdb: Path, tmp_path: Path) -> None:
    recipe = smaller(ablated(load_recipe("ddamfn"), name))
    data = training_data(recipe, rafdb, quiet=True)
    train(
        build_network(recipe),
        train_split(data, recipe, recipe.train[0]),
        recipe.train[0],
        normalize=recipe.input,
        checkpoint=tmp_path / "c.pt",
        on_epoch=lambda *_: None,
        stop_after=1,
    )


def test_unknown_ablations_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "larn", "--ablation", "wings"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "expected one of resnet13, irm, se_relu, sam" in line
