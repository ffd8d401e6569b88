"""Two label sets from one network: targets, loss, scores, and what a recipe may ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8, label_sets
from fer_edge.contract.preprocess import softmax
from fer_host.data import fer2013
from fer_host.data.faces import FaceData
from fer_host.models.counts import counts
from fer_host.models.weights import build_network
from fer_host.prune.run import prunable
from fer_host.recipe.recipe import load_recipe
from fer_host.recipe.train import LossConfig
from fer_host.train.checks import check_recipe
from fer_host.train.loop import _answers
from fer_host.train.losses import total_loss
from fer_host.train.rows import train_split
from fer_host.train.scoring import protocol_scores, protocols

RECIPE = load_recipe("fer48")
NAMES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def rows(votes: list[list[int]], label7: list[int]) -> FaceData:
    table = np.array(votes, dtype=np.float32)
    n = len(table)
    return FaceData(
        source="made here",
        images=np.zeros((n, 48, 48), dtype=np.uint8),
        votes8=table[:, [NAMES.index(name) for name in EMOTIONS8]],
        label8=fer2013.majority_label(table, NAMES),
        majority8=fer2013.agreed_label(table, NAMES),
        label7=np.array(label7),
        usage=np.array(["Training"] * n),
        duplicate=np.zeros(n, dtype=bool),
        sequence=np.arange(n).astype(str),
        subject=np.arange(n).astype(str),
    )


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], "neutral"),
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),  # half is not more than half
        ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], "neutral"),  # single votes are dropped first
        ([4, 3, 3, 0, 0, 0, 0, 0, 0, 0], None),
        ([0, 2, 1, 0, 0, 0, 0, 0, 7, 0], None),  # "unknown" wins
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),  # nothing is left
    ],
)
def test_what_most_of_the_crowd_agreed_on(votes: list[int], expected: str | None) -> None:
    (found,) = fer2013.agreed_label(np.array([votes], dtype=np.float32), NAMES)
    assert found == (-1 if expected is None else EMOTIONS8.index(expected))


def test_publictest_has_3199_rows_of_the_majority_protocol() -> None:
    path = Path(__file__).parents[4] / "shared/data/fer2013/fer2013_train_public.npz"
    if not path.is_file():
        pytest.skip("needs FER2013 at ../shared/data")
    data = fer2013.load(path)
    public = data.select(data.usage == "PublicTest")
    assert [(public.labels(name) >= 0).sum() for name in ("ferplus8", "ferplus8_majority")] == [3553, 3199]


def test_fer48_is_within_its_bounds() -> None:
    check_recipe(RECIPE)
    found = counts(build_network(RECIPE), 1, 48, "all")
    assert found.parameters <= 250_000
    assert found.macs <= 45_000_000
    assert (found.parameters, found.macs) == (166_319, 22_536_000)  # as its docstring says


def test_a_row_serves_the_label_sets_that_it_has_a_label_in() -> None:
    both, few_votes, unread, unlabelled = [0, 9, 1, 0, 0, 0, 0, 0, 0, 0], [1, 1] + [0] * 7 + [8], [0] * 8 + [9, 1], [
        8, 2, 0, 0, 0, 0, 0, 0, 0, 0,
    ]  # fmt: skip
    data = rows([both, few_votes, unread, unlabelled, unread], [3, 6, 2, -1, -1])
    found = train_split(data, RECIPE, RECIPE.train[0])
    assert found.slices == ((0, 8), (8, 15))
    assert found.targets.shape == (4, 15)  # the last row serves nobody
    np.testing.assert_allclose(found.targets[:, :8].sum(1), [0.7, 0, 0, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.targets[:, 8:].sum(1), [0.3, 0.3, 0.3, 0], rtol=1e-6)
    assert found.targets[0, EMOTIONS8.index("happiness")] == pytest.approx(0.7)  # a single vote is dropped
    assert found.targets[:3, 8:].argmax(1).tolist() == [3, 6, 2]


def test_the_loss_is_the_sum_over_the_label_sets_and_silent_where_a_row_has_none() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 15, generator=generator, requires_grad=True)
    targets = torch.softmax(torch.randn(5, 15, generator=generator), 1)
    targets[0, :8] = 0
    parts = (slice(0, 8), slice(8, 15))
    found = total_loss(logits, targets, [], None, LossConfig(1.0, head_shares=(0.7, 0.3)), parts=parts)
    expected = sum(functional.cross_entropy(logits[:, part], targets[:, part]) for part in parts)
    torch.testing.assert_close(found, expected)
    found.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert logits.grad is not None
    assert not logits.grad[0, :8].any()
    assert logits.grad[0, 8:].any()


def test_each_protocol_is_scored_on_its_own_outputs() -> None:
    happy, sad = [0, 9, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 9, 0, 0, 0, 0, 1, 0]
    split, logits = [0, 5, 0, 5, 0, 0, 0, 0, 0, 0], np.zeros((3, 15), dtype=np.float32)
    data = rows([happy, sad, split], [EMOTIONS7.index("sadness")] * 3)
    logits[:, EMOTIONS8.index("happiness")] = 5
    logits[:, 8 + EMOTIONS7.index("sadness")] = 5
    found = {name: protocol_scores(logits, RECIPE, data, name) for name in protocols(RECIPE)}
    assert {name: (each.n, each.accuracy) for name, each in found.items() if each} == {
        "ferplus8": (3, pytest.approx(2 / 3)),
        "ferplus8_majority": (2, 0.5),
        "fer7": (3, 1.0),
    }
    one_set = load_recipe("lfer_ldl")
    eight = protocol_scores(logits[:, :8], one_set, data, "fer7")  # no set of its own: the eight without contempt
    assert eight is not None
    assert eight.accuracy == 0


def test_label_sets_follow_one_another() -> None:
    first, second = label_sets(("ferplus8", "fer7"))
    assert (first.slice, second.slice) == ((0, 8), (8, 15))
    assert softmax(np.zeros((1, 15), dtype=np.float32)[:, slice(*second.slice)]).shape == (1, len(second.labels))


@pytest.mark.parametrize("heads", [("fer7", "ferplus8"), ("ferplus8",), ("ferplus8", "ferplus8")])
def test_heads_that_do_not_fit_are_refused(heads: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError, match="expected two or more sets, ferplus8 first"):
        replace(RECIPE, heads=heads)  # type: ignore[arg-type]


def test_shares_must_be_one_for_each_head() -> None:
    loss = replace(RECIPE.train[0].loss, head_shares=(1.0,))
    with pytest.raises(SchemaError, match="head_shares for each of 2 heads"):
        replace(RECIPE, train=(replace(RECIPE.train[0], loss=loss),))


def test_a_network_that_tells_people_apart_has_as_many_outputs() -> None:
    faces = load_recipe("paper_vggface2")
    assert faces.n_outputs == faces.identities > 1024
    assert faces.label_sets == ()


def test_what_a_teacher_says_and_what_is_left_make_a_whole() -> None:
    both = rows([[0, 9, 1, 0, 0, 0, 0, 0, 0, 0]] * 2, [3, 6])
    loss = replace(RECIPE.train[0].loss, vote_share=0.5, teacher_share=0.5, teacher="fer48")
    cycle = replace(RECIPE.train[0], loss=loss)
    found = train_split(both, RECIPE, cycle).targets
    np.testing.assert_allclose(found[:, :8].sum(1), 0.35, rtol=1e-6)
    np.testing.assert_allclose(found[:, 8:].sum(1), 0.15, rtol=1e-6)
    answers = _answers(torch.zeros(2, 15), cycle, (slice(0, 8), slice(8, 15)))
    whole = torch.from_numpy(found) + 0.5 * answers
    torch.testing.assert_close(whole[:, :8].sum(1), torch.full((2,), 0.7))
    torch.testing.assert_close(whole.sum(1), torch.ones(2))


def test_pruning_takes_over_the_heads() -> None:
    made = prunable(RECIPE)
    assert made.prune is not None
    assert {each.loss.head_shares for each in (*made.train, made.prune.reward)} == {(0.7, 0.3)}


@pytest.mark.parametrize("table", ["quantize", "prune"])
def test_shares_are_asked_of_every_table(table: str) -> None:
    made = RECIPE if table == "quantize" else prunable(RECIPE)
    config, name = (made.quantize, "tune") if table == "quantize" else (made.prune, "reward")
    assert config is not None
    cycle = getattr(config, name)
    other = replace(config, **{name: replace(cycle, loss=replace(cycle.loss, head_shares=()))})
    with pytest.raises(SchemaError) as caught:
        replace(made, **{table: other})
    assert caught.value.path == f"{table}.{name}"
