"""The training loop on a real, small network and generated faces-like images."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from train_helpers import CONFIG, MOVED, NORMALIZE, STILL, Small

from fer_edge.contract.errors import SchemaError
from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data import fer2013
from fer_host.data.augment import augment_batch
from fer_host.errors import DataError, WeightsError
from fer_host.recipe.train import Light, LossConfig, Phase, ScheduleConfig
from fer_host.train.batches import TrainSet
from fer_host.train.loop import train
from fer_host.train.optimizer import at_sharpest_neighbor, learning_rate


def run(data: TrainSet, path: Path, stop_after: int | None = None) -> tuple[nn.Module, list[tuple[float, ...]]]:
    torch.manual_seed(0)
    lines: list[tuple[float, ...]] = []
    model, _ = train(
        Small(),
        data,
        CONFIG,
        normalize=NORMALIZE,
        checkpoint=path,
        on_epoch=lambda epoch, size, _, loss, minutes: lines.append((epoch, size, loss)),
        stop_after=stop_after,
    )
    return model, lines


def test_a_killed_run_resumes_to_the_same_weights(data: TrainSet, tmp_path: Path) -> None:
    whole, lines = run(data, tmp_path / "whole.pt")
    for stop in (3, 7, 5, None):  # killed in the middle of an epoch, twice, and over a change of size
        resumed, later = run(data, tmp_path / "resumed.pt", stop)
    for (name, expected), found in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(expected, found), name
    assert later[-1] == lines[-1]


def test_a_part_of_a_cycle_is_its_beginning(data: TrainSet, tmp_path: Path) -> None:
    def losses(name: str, epochs: int, of_epochs: int | None) -> list[float]:
        cycle = ScheduleConfig("one_cycle", warmup=0.2, of_epochs=of_epochs)
        config = replace(CONFIG, phases=(Phase(epochs, 16),), schedule=cycle)
        found: list[float] = []
        torch.manual_seed(0)
        checkpoint = tmp_path / f"{name}.pt"
        on_epoch = lambda *line: found.append(line[3])  # noqa: E731
        train(Small(), data, config, normalize=NORMALIZE, checkpoint=checkpoint, on_epoch=on_epoch)
        return found

    whole, part, short = losses("whole", 4, None), losses("part", 2, 4), losses("short", 2, None)
    assert part == whole[:2]
    assert short != part


def test_it_learns(data: TrainSet, tmp_path: Path) -> None:
    config = replace(CONFIG, phases=(Phase(12, 16),))
    torch.manual_seed(0)
    model, _ = train(Small(), data, config, normalize=NORMALIZE, checkpoint=tmp_path / "c.pt", on_epoch=lambda *_: None)
    gray = torch.from_numpy(data.images).float().unsqueeze(1) / 255
    predicted = model((gray.expand(-1, 3, -1, -1) - 0.5) / 0.25).argmax(1).numpy()
    assert (predicted == data.targets.argmax(1)).mean() > 0.95


def test_bfloat16_learns_with_float32_weights_and_loss(data: TrainSet, tmp_path: Path) -> None:
    found = {}
    seen: list[torch.dtype] = []

    class Seen(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            if self.training:
                seen.append(out.dtype)
            return out

    for precision in ("float32", "bfloat16"):
        config = replace(CONFIG, phases=(Phase(12, 16),), precision=precision)  # type: ignore[arg-type]
        losses: list[float] = []
        torch.manual_seed(0)
        model, _ = train(
            Seen(),
            data,
            config,
            normalize=NORMALIZE,
            checkpoint=tmp_path / f"{precision}.pt",
            on_epoch=lambda *line: losses.append(line[3]),  # noqa: B023  # called inside this round
        )
        assert {value.dtype for value in model.state_dict().values() if value.dtype.is_floating_point} == {
            torch.float32
        }
        assert set(seen) == {getattr(torch, precision)}
        seen.clear()
        found[precision] = losses
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.1)
    assert found["bfloat16"] != found["float32"]


def test_a_precision_that_is_not_used_leaves_the_digest_alone(tmp_path: Path, small_recipe: Path) -> None:
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train.digest import train_digest

    path = npz(tmp_path / "f.npz")
    plain = train_digest(load_recipe(str(small_recipe)), path)
    text = small_recipe.read_text()
    digests = []
    for precision in ("float32", "bfloat16"):
        small_recipe.write_text(text.replace("batch = 4\n", f'batch = 4\nprecision = "{precision}"\n'))
        digests.append(train_digest(load_recipe(str(small_recipe)), path))
    assert digests[0] == plain
    assert digests[1] != plain


def test_what_later_versions_added_and_a_recipe_does_not_use_is_not_in_the_digest(
    tmp_path: Path, small_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a training begun before the field was there goes on."""
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train import digest

    recipe, digested = load_recipe(str(small_recipe)), []
    monkeypatch.setattr(digest, "digest_json", lambda parts: digested.append(parts[0]) or "0" * 12)
    for share in (0.0, 0.1):
        loss = replace(recipe.train[0].loss, vote_share=0.5, fer7_share=share)
        train = tuple(replace(cycle, loss=loss) for cycle in recipe.train)
        digest.train_digest(replace(recipe, train=train), npz(tmp_path / "f.npz"))
    without, given = (parts["train"][0]["loss"] for parts in digested)
    assert "fer7_share" not in without
    assert given == without | {"fer7_share": 0.1}
    plain = digested[0]
    later = {"mixup", "light", "decay", "head_shares", "heads", "normalize"}
    assert not later & set(re.findall(r"'(\w+)': ", repr(plain)))
    lit = replace(recipe.train[0], mixup=0.2, augment=replace(recipe.train[0].augment, light=Light(gain_p=0.5)))
    digest.train_digest(replace(recipe, train=(lit,)), npz(tmp_path / "f.npz"))
    assert digested[-1]["train"][0]["mixup"] == 0.2
    assert digested[-1]["train"][0]["augment"]["light"]["gain_p"] == 0.5


def test_trapezoid_rises_stays_and_falls() -> None:
    rates = [learning_rate(i, 100, 0, 0.05, ScheduleConfig("trapezoid", warmup=0.1, decay=0.3)) for i in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert set(rates[10:70]) == {0.05}
    assert rates[70:] == sorted(rates[70:], reverse=True)
    assert rates[-1] == pytest.approx(0.05 / 30)
    longer = [learning_rate(i, 200, 0, 0.05, ScheduleConfig("trapezoid", warmup=0.05)) for i in range(200)]
    assert longer[:70] == rates[:70]  # a plateau that is made longer goes the same way
    with pytest.raises(SchemaError, match="expected 1 together"):
        ScheduleConfig("trapezoid", warmup=0.6, decay=0.5)


def test_one_cycle_rises_then_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, 0, 0.05, ScheduleConfig("one_cycle", warmup=0.2)) for step in range(100)]
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert max(rates) == 0.05
    assert rates[-1] < 0.001 * 0.05


def test_augmentation_is_a_resize_when_nothing_is_moved() -> None:
    images = torch.rand(3, 1, 48, 48)
    out = augment_batch(images, 96, STILL, torch.Generator().manual_seed(0))
    expected = nn.functional.interpolate(images, (96, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=1e-4)


def test_augmentation_comes_from_its_generator_alone() -> None:
    images = torch.rand(4, 1, 48, 48)
    first, again, other = (augment_batch(images, 64, MOVED, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def npz(path: Path, **changes: object) -> Path:
    """A tiny FER2013 in the real layout."""
    plus = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    fer = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    votes = np.zeros((5, 10), dtype=np.int64)
    votes[0, [0, 1]] = 5, 5  # a tie: the first column wins
    votes[1, 8], votes[1, 1] = 6, 4  # unknown wins
    votes[2, 7] = 10
    votes[3, 9] = 10
    votes[4, [4, 5]] = 9, 1
    arrays: dict[str, object] = {
        "images": np.zeros((5, 48, 48), dtype=np.uint8),
        "fer_label": np.array([6, -1, 0, 3, 0], dtype=np.int8),
        "ferplus_votes": votes,
        "usage": np.array(["Training", "Training", "PublicTest", "PublicTest", "Training"]),
        "duplicates_training": np.array([False] * 5),
        "fer_classes": np.array(fer),
        "ferplus_classes": np.array(plus),
    } | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_ferplus_labels_follow_the_protocol(tmp_path: Path) -> None:
    data = fer2013.load(npz(tmp_path / "f.npz"))
    names = [EMOTIONS8[i] if i >= 0 else None for i in data.label8]
    assert names == ["neutral", None, "contempt", None, "anger"]
    assert [fer2013.EMOTIONS7[i] if i >= 0 else None for i in data.label7] == [
        "neutral", None, "anger", "happiness", "anger",
    ]  # fmt: skip
    targets = fer2013.vote_distribution(data.votes8)
    assert targets[0, EMOTIONS8.index("neutral")] == pytest.approx(0.5)
    assert targets[4, EMOTIONS8.index("anger")] == pytest.approx(1.0)  # the single vote is noise


@pytest.mark.parametrize("key", ["images", "ferplus_votes", "fer_classes"])
def test_a_half_present_data_set_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match=f"{key}: not in the file; expected images"):
        fer2013.load(npz(tmp_path / "f.npz", **{key: None}))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 not really", b"text"])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "f.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="data set"):
        fer2013.load(path)


@pytest.fixture
def small_recipe(tmp_path: Path, first_cycle: str) -> Path:
    """The flagship's first cycle cut down to seconds."""
    text = re.sub(r"phases = .*", "phases = [{ epochs = 1, size_px = 32 }]", first_cycle)
    text = text.replace('start = "imagenet"', 'start = "random"').replace("size_px = 96", "size_px = 32", 1)
    text = text.replace("batch = 64", "batch = 4").replace("min_votes = 3", "min_votes = 0")
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


def test_a_run_leaves_weights_card_and_confusion_matrix(tmp_path: Path, small_recipe: Path) -> None:
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train.run import run_training
    from fer_host.zoo.card import read_card

    random = np.random.default_rng(0)
    votes = np.zeros((24, 10), dtype=np.int64)
    votes[np.arange(24), np.arange(24) % 8] = 10
    path = npz(
        tmp_path / "f.npz",
        images=random.integers(0, 256, (24, 48, 48), dtype=np.uint8),
        fer_label=(np.arange(24) % 7).astype(np.int8),
        ferplus_votes=votes,
        usage=np.array(["Training"] * 16 + ["PublicTest"] * 8),
        duplicates_training=np.zeros(24, dtype=bool),
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    killed = [tmp_path / ".w.confusion.png.39d80cc2.tmp", cache / ".cycle-1.pt.0123abcd.tmp"]
    others = [tmp_path / ".w.confusion.png.mine.tmp", tmp_path / ".v.card.md.39d80cc2.tmp", cache / "w.39d80cc2.tmp"]
    for each in killed + others:
        each.touch()
    out = run_training(load_recipe(str(small_recipe)), path, tmp_path / "w.safetensors", cache)
    assert [each.exists() for each in killed + others] == [False, False, True, True, True]
    card = read_card(out)
    assert card is not None
    assert card.n_train == 16
    assert [row.protocol for row in card.float_scores][:3] == ["ferplus8", "ferplus8_majority", "fer7"]
    assert (tmp_path / "w.confusion.png").read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size < 5_000_000
    curve = [json.loads(line) for line in (tmp_path / "cache" / "curve.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in curve] == [0]
    assert all(0 <= line[name] <= 1 for line in curve for name in ("accuracy", "majority", "fer7"))


def test_a_second_cycle_starts_from_the_average_of_the_first(tmp_path: Path, small_recipe: Path) -> None:
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train.run import run_training

    text = small_recipe.read_text()
    start = text.index("[[train]]")
    end = re.compile(r"^\[(?!train\.)", re.MULTILINE).search(text, start + 1)  # the table after the cycle's own
    assert end is not None
    cycle = text[start : end.start()]
    still = cycle.replace('start = "random"', 'start = "previous"').replace("lr = 0.012", "lr = 0.0")
    small_recipe.write_text(text.replace(cycle, cycle + still))
    votes = np.zeros((24, 10), dtype=np.int64)
    votes[np.arange(24), np.arange(24) % 8] = 10
    path = npz(
        tmp_path / "f.npz",
        images=np.random.default_rng(0).integers(0, 256, (24, 48, 48), dtype=np.uint8),
        fer_label=(np.arange(24) % 7).astype(np.int8),
        ferplus_votes=votes,
        usage=np.array(["Training"] * 16 + ["PublicTest"] * 8),
        duplicates_training=np.zeros(24, dtype=bool),
    )
    run_training(load_recipe(str(small_recipe)), path, tmp_path / "w.safetensors", tmp_path / "cache")
    first, second = (torch.load(tmp_path / "cache" / f"cycle-{i}.pt", weights_only=True) for i in (1, 2))
    assert torch.equal(first["average"]["classifier.1.weight"], second["average"]["classifier.1.weight"])


def test_weights_given_are_where_it_starts(tmp_path: Path, small_recipe: Path) -> None:
    """With a rate of zero the network ends as it began, and the state is another than without them."""
    from fer_host.models.weights import build_network, load_network, save_weights
    from fer_host.recipe.recipe import load_recipe
    from fer_host.train.run import run_training

    small_recipe.write_text(small_recipe.read_text().replace("lr = 0.012", "lr = 0.0"))
    recipe = load_recipe(str(small_recipe))
    torch.manual_seed(9)
    save_weights(build_network(recipe), tmp_path / "start.safetensors")
    votes = np.zeros((24, 10), dtype=np.int64)
    votes[np.arange(24), np.arange(24) % 8] = 10
    path = npz(
        tmp_path / "f.npz",
        images=np.random.default_rng(0).integers(0, 256, (24, 48, 48), dtype=np.uint8),
        fer_label=(np.arange(24) % 7).astype(np.int8),
        ferplus_votes=votes,
        usage=np.array(["Training"] * 16 + ["PublicTest"] * 8),
        duplicates_training=np.zeros(24, dtype=bool),
    )
    start, out = tmp_path / "start.safetensors", tmp_path / "w.safetensors"
    run_training(recipe, path, out, tmp_path / "cache", weights=start)
    began, ended = (load_network(recipe, each).state_dict() for each in (start, out))
    assert torch.equal(began["classifier.1.weight"], ended["classifier.1.weight"])
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file"):
        run_training(recipe, path, out, weights=tmp_path / "none.safetensors")


def test_sam_takes_the_gradient_at_the_sharpest_neighbor_and_returns() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    x = torch.randn(8, 3)
    network(x).square().mean().backward()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    running = network[1].running_mean.clone()  # type: ignore[operator, union-attr]
    length = torch.sqrt(sum(g.square().sum() for g in gradients.values()))  # type: ignore[arg-type]
    with at_sharpest_neighbor(network, 0.05):
        moved = {name: p.detach() - before[name] for name, p in network.named_parameters()}
        network(x).square().mean().backward()
    for name, p in network.named_parameters():
        torch.testing.assert_close(moved[name], 0.05 * gradients[name] / length, rtol=1e-4, atol=1e-6)
        assert torch.equal(p, before[name]), name
        assert p.grad is not None
        assert not torch.equal(p.grad, gradients[name]) or not gradients[name].any(), name
    assert torch.equal(network[1].running_mean, running)  # type: ignore[arg-type]


def test_schedules_of_the_papers() -> None:
    step = ScheduleConfig("step", every_epochs=10, factor=0.1)
    assert [learning_rate(0, 1, epoch, 0.01, step) for epoch in (0, 9, 10, 25)] == pytest.approx(
        [0.01, 0.01, 0.001, 0.0001]
    )
    exponential = ScheduleConfig("exponential", factor=0.6)
    assert learning_rate(0, 1, 2, 1e-4, exponential) == pytest.approx(0.36e-4)
    assert learning_rate(7, 9, 5, 1e-4, ScheduleConfig("constant")) == 1e-4


def test_a_teacher_fills_its_share_of_the_target(data: TrainSet, tmp_path: Path) -> None:
    class Sure(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[-20.0, 20.0]]).expand(len(x), 2)

    half = TrainSet(data.images, np.zeros_like(data.targets))  # all of the target comes from the teacher
    config = replace(CONFIG, phases=(Phase(6, 16),), loss=LossConfig(0.0, teacher_share=1.0, teacher="any"))
    torch.manual_seed(0)
    model, _ = train(
        Small(),
        half,
        config,
        normalize=NORMALIZE,
        checkpoint=tmp_path / "c.pt",
        teacher=Sure(),
        on_epoch=lambda *_: None,
    )
    assert (model(torch.randn(16, 1, 16, 16)).argmax(1) == 1).all()


def test_targets_of_eight_labels_hold_fer2013s_own(tmp_path: Path) -> None:
    data = fer2013.load(npz(tmp_path / "f.npz"))
    rows = data.select(data.label8 >= 0)
    rows = replace(rows, label7=np.where(np.arange(len(rows.label7)) == 0, -1, rows.label7))
    plain, mixed = (fer2013.target_distribution(rows, "ferplus8", 0.5, 0.5 - share, share) for share in (0.0, 0.25))
    expected = plain.copy()
    for i, (own, label) in enumerate(zip(rows.label7, rows.label8, strict=True)):
        expected[i, label] -= 0.25
        expected[i, EMOTIONS8.index(EMOTIONS7[own]) if own >= 0 else label] += 0.25  # without one: its label
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    assert not np.allclose(mixed, plain)


def test_fer7_targets_mix_label_and_votes(tmp_path: Path) -> None:
    data = fer2013.load(npz(tmp_path / "f.npz"))
    rows = data.select(data.label7 >= 0)
    targets = fer2013.target_distribution(rows, "fer7", 0.25, 0.75)
    assert targets.shape == (4, 7)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert (targets.argmax(axis=1) == rows.label7).all()
