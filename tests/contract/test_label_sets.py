"""Several label sets in one manifest: what fits, what is refused, and what old manifests keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import make_manifest

from fer_edge.contract import codec
from fer_edge.contract import manifest as manifest_format
from fer_edge.contract.answer import answer, raw_answers
from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8, PROTOCOLS, Calibration, LabelSet, label_sets
from fer_edge.contract.manifest import Manifest
from fer_edge.contract.preprocess import softmax
from fer_edge.contract.specs import TensorSpec

WARM = Calibration("temperature", 2.0, "2,000 Training rows", 2000, 0.05, 0.01)


def both(calibration: Calibration | None = None, sets: tuple[LabelSet, ...] | None = None) -> Manifest:
    """The sample with fifteen outputs."""
    one = make_manifest()[0]
    eight, seven = sets or label_sets(("ferplus8", "fer7"))
    variants = tuple(replace(v, output=TensorSpec("logits", (1, 15), "float32")) for v in one.variants)
    return replace(
        one,
        labels=EMOTIONS8,
        variants=variants,
        label_sets=(replace(eight, calibration=calibration), seven),
        default_label_set="ferplus8",
        calibration=calibration,
    )


@pytest.mark.parametrize("calibration", [None, WARM])
def test_it_is_read_as_it_was_written(calibration: Calibration | None) -> None:
    manifest = both(calibration)
    text = manifest_format.dumps(manifest)
    assert manifest_format.loads(text) == manifest
    assert manifest_format.dumps(manifest_format.loads(text)) == text


def test_a_manifest_of_one_set_is_written_as_ever() -> None:
    text = manifest_format.dumps(make_manifest()[0])
    assert not {"label_sets", "default_label_set", "calibration", "normalize"} & set(codec.json.loads(text))
    assert "normalize" not in text


def test_a_manifest_of_one_set_has_that_one() -> None:
    one = make_manifest()[0]
    assert [each.id for each in one.sets] == ["own"]
    assert one.label_set().labels == one.labels
    assert one.answering_in(None) is one
    assert one.answering_in("own") is one
    with pytest.raises(SchemaError, match="found 'fer7', this bundle answers in own"):
        one.answering_in("fer7")
    eight = tuple(replace(v, output=TensorSpec("logits", (1, 8), "float32")) for v in one.variants)
    assert replace(one, labels=EMOTIONS8, variants=eight).sets[0].id == "ferplus8"


def test_another_set_brings_its_labels_and_its_calibration() -> None:
    manifest = both(WARM)
    other = manifest.answering_in("fer7")
    assert (other.labels, other.calibration) == (EMOTIONS7, None)
    assert other.label_set().slice == (8, 15)
    assert other.answering_in("ferplus8") == manifest


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"label_sets": None}, "default_label_set"),
        ({"default_label_set": None}, "default_label_set"),
        ({"default_label_set": "own"}, "default_label_set"),
        ({"default_label_set": "fer7"}, "labels"),
        ({"labels": EMOTIONS7}, "labels"),
        ({"calibration": WARM}, "calibration"),
        ({"label_sets": label_sets(("ferplus8",))}, "label_sets"),
        ({"label_sets": label_sets(("ferplus8", "ferplus8"))}, "label_sets"),
        ({"label_sets": label_sets(("fer7", "ferplus8"))[::-1]}, "label_sets[0].slice"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(SchemaError) as caught:
        replace(both(), **changes)
    assert caught.value.path == named


@pytest.mark.parametrize(
    ("labels", "first_and_end"), [(EMOTIONS7, (0, 8)), (EMOTIONS7, (-1, 6)), (("a", "a"), (0, 2)), (("a",), (0, 1))]
)
def test_a_set_names_each_of_its_outputs_once(labels: tuple[str, ...], first_and_end: tuple[int, int]) -> None:
    with pytest.raises(SchemaError):
        LabelSet("own", labels, first_and_end)


def test_every_protocol_scores_a_known_set() -> None:
    assert {name.partition("_")[0] for name in PROTOCOLS} == set(PROTOCOLS.values())


def test_each_set_has_a_softmax_of_its_own() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (4, 15)).astype(np.float32)
    eight, seven = both().sets
    np.testing.assert_allclose(answer(logits, eight), softmax(logits[:, :8]))
    np.testing.assert_allclose(answer(logits, seven), softmax(logits[:, 8:]))
    np.testing.assert_allclose(raw_answers(logits, (eight, seven))[:, 8:], softmax(logits[:, 8:]))


def test_a_temperature_keeps_the_answer_and_takes_sureness() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 15)).astype(np.float32)
    eight, warm = both().sets[0], both(WARM).sets[0]
    plain, calibrated = answer(logits, eight), answer(logits, warm)
    assert (plain.argmax(1) == calibrated.argmax(1)).all()
    assert (plain.max(1) > calibrated.max(1)).all()
    np.testing.assert_allclose(calibrated, softmax(logits[:, :8] / 2), rtol=1e-5)
    np.testing.assert_allclose(raw_answers(logits, [warm]), plain)  # golden vectors are kept as they come


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.01, 100.0])
def test_a_temperature_that_cannot_be_is_refused(temperature: float) -> None:
    with pytest.raises(SchemaError, match=r"expected 0\.05 to 20"):
        replace(WARM, temperature=temperature)
