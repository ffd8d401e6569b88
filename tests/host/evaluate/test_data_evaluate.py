"""``fer-host evaluate`` on published layouts, behind a gray bar, and with ten crops, through a real bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.contract import evaluate as schema
from fer_edge.contract.bundle import Bundle, open_bundle
from fer_edge.contract.labels import EMOTIONS7
from fer_edge.contract.specs import AlignSpec
from fer_host import cli
from fer_host.bundle.golden import write_sample_photos
from fer_host.data import damage
from fer_host.data.occlude import GRAY, bar, occlude
from fer_host.device_pipeline import face_cropper, make_detector, read_photo
from fer_host.errors import DataError
from fer_host.evaluate.evaluate import LabelledCrops, _balanced, evaluate, format_table, predict
from fer_host.evaluate.gates import check_accuracy
from fer_host.evaluate.judged import Judged
from fer_host.evaluate.ten_crop import ten_crops
from fer_host.recipe.recipe import Recipe, load_recipe

ROOT = Path(__file__).parents[3]
ALIGN = AlignSpec(
    ("right_eye", "left_eye", "nose", "mouth"), ((29.9, 37.8), (66.1, 37.8), (48.0, 56.9), (48.0, 74.4)), (96, 96)
)


@pytest.fixture(scope="module")
def bundle_path() -> Path:
    path = Path(os.environ.get("FER_TEST_BUNDLE") or ROOT / "dist" / "hawqc_mbv2")
    if not path.is_dir():
        pytest.fail(f"{path} is not there: run `make convert MODEL=hawqc_mbv2` (make test makes one)")
    return path


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return open_bundle(bundle_path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own folder: one smiling astronaut, one wall, one folder that is no emotion."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("happy", "other"):
        (folder / name).mkdir()
        write_sample_photos(folder / name / "astronaut.png")
    assert cv2.imwrite(str(folder / "happy" / "wall.png"), np.full((200, 200, 3), 90, dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def crop(bundle: Bundle, photos: Path) -> np.ndarray:
    cut = face_cropper(make_detector(bundle.manifest.detector, bundle.read), bundle.manifest.align)
    face = cut(read_photo(photos / "happy" / "astronaut.png").image)
    assert face is not None
    return face


@pytest.fixture(scope="module")
def rafdb(tmp_path_factory: pytest.TempPathFactory, crop: np.ndarray) -> Path:
    """The astronaut's crop as three test faces (happy, happy, sad) and one training face."""
    root = tmp_path_factory.mktemp("rafdb")
    rows = [("train_00001", 4), ("test_0001", 4), ("test_0002", 4), ("test_0003", 5)]
    (root / "Image" / "aligned").mkdir(parents=True)
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("".join(f"{n}.jpg {i}\n" for n, i in rows))
    for name, _ in rows:
        assert cv2.imwrite(str(root / "Image" / "aligned" / f"{name}_aligned.jpg"), crop[:, :, ::-1])
    return root


def test_photos_go_through_detector_and_crop(bundle: Bundle, photos: Path) -> None:
    document = evaluate(bundle, photos, "fer7")
    assert (document.n, document.n_dropped) == (1, 1)  # no face on the wall; "other" is no emotion
    assert document.accuracy == 1
    assert document.data == str(photos)
    assert evaluate(bundle, photos, "fer7", crops_as_is=True).n == 2


def test_a_published_set_is_scored_on_its_test_split(
    bundle: Bundle, rafdb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = evaluate(bundle, rafdb, "fer7")
    assert "taken for RAF-DB" in capsys.readouterr().err
    assert document.n == 3
    assert document.accuracy == pytest.approx(2 / 3, abs=1e-6)
    assert document.recall == {"happiness": 1.0, "sadness": 0.0}
    assert evaluate(bundle, rafdb, "ferplus8", usage="Training").n == 1


def test_a_set_without_a_split_may_have_been_trained_on(
    bundle: Bundle, photos: Path, rafdb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(bundle, photos, "fer7")
    said = capsys.readouterr().err
    assert "if the bundle was trained on this set" in said
    assert f"`fer-host kfold RECIPE --data {photos}`" in said
    evaluate(bundle, rafdb, "fer7")
    assert "kfold" not in capsys.readouterr().err


def test_shards_are_scored_as_their_folder(
    bundle_path: Path, bundle: Bundle, photos: Path, rafdb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crops as they are, and faces that were cut out of photos with the bundle's own detector."""
    kept: list[Judged] = []
    for number, (data, n) in enumerate(((rafdb, 3), (photos, 1))):
        out = tmp_path / str(number)
        assert cli.main(["shard", str(data), str(out), "--workers", "1"]) == 0
        found = [evaluate(bundle, each, "fer7", occluded="eyes", keep=kept.append) for each in (data, out)]
        assert found[0].n == found[1].n == n
        assert replace(found[1], data="", n_dropped=0) == replace(found[0], data="", n_dropped=0)
        folder, shards = kept[-2:]
        assert shards.images == folder.images
        np.testing.assert_array_equal(shards.probabilities, folder.probabilities)
        np.testing.assert_array_equal(shards.crops[0], folder.crops[0])
    assert "1 left out, no face found" in capsys.readouterr().out  # the wall
    other = replace(bundle.manifest, align=replace(ALIGN, crop_hw=(90, 90)))
    with pytest.raises(DataError, match="--model RECIPE"):
        evaluate(replace(bundle, manifest=other), tmp_path / "1", "fer7")


def test_a_picture_that_cannot_be_read_is_named_and_dropped(
    bundle: Bundle, rafdb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "_named", {})  # of the process; other tests have named theirs
    data = tmp_path / "rafdb"
    shutil.copytree(rafdb, data)
    bad = data / "Image" / "aligned" / "test_0002_aligned.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    kept: list[Judged] = []
    document = evaluate(bundle, data, "fer7", keep=kept.append)
    said = capsys.readouterr().err
    assert "test_0002_aligned.jpg" in said
    assert "1 of 3 pictures cannot be read" in said
    assert (document.n, document.n_dropped) == (2, 1)
    assert [Path(name).name for name in kept[0].images] == ["test_0001_aligned.jpg", "test_0003_aligned.jpg"]


def test_a_balanced_draw_is_seeded_and_names_what_is_short(
    bundle_path: Path, rafdb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = (9, 2, 5, 30, 5, 7, 5)  # of EMOTIONS7
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(7), counts))
    crops = [np.full((2, 2), i, dtype=np.uint8) for i in range(len(labels))]
    rows = LabelledCrops(crops, labels, labels == 3, 4, "somewhere", tuple(map(str, range(len(labels)))))

    def drawn(per_class: int, seed: int) -> list[int]:
        found = _balanced(rows, per_class, seed, EMOTIONS7)
        assert np.bincount(found.labels, minlength=7).tolist() == [min(n, per_class) for n in counts]
        assert found.n_dropped == 4 + len(rows.labels) - len(found.labels)
        at = [int(crop[0, 0]) for crop in found.crops]
        assert labels[at].tolist() == found.labels.tolist()  # crops, labels, names and duplicates stay together
        assert found.images == tuple(map(str, at))
        assert (found.duplicate == (found.labels == 3)).all()
        return at

    assert drawn(2, 1) == drawn(2, 1) != drawn(2, 2)
    assert not capsys.readouterr().err
    drawn(7, 1)
    short = ", ".join(f"{EMOTIONS7[i]} {counts[i]}" for i in (1, 2, 4, 6))
    assert f"--per-class 7: not balanced, there are fewer of {short}\n" in capsys.readouterr().err

    line = ["evaluate", str(bundle_path), "--data", str(rafdb), "--labels", "fer7", "--json", "--per-class"]
    assert cli.main([*line, "1"]) == 0
    said = capsys.readouterr()
    document = schema.loads(said.out)
    assert (document.n, document.n_dropped, document.recall) == (2, 1, {"happiness": 1.0, "sadness": 0.0})
    assert "anger 0" in said.err
    assert "happiness" not in said.err.split("not balanced")[1]


def test_what_does_not_fit_is_refused(
    bundle_path: Path, rafdb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: object) -> str:
        assert cli.main(["evaluate", str(bundle_path), *map(str, arguments)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        return lines[0]

    assert "expected one of Test, Training" in refusal("--data", rafdb, "--usage", "PublicTest")
    pixels = " ".join(["7"] * 2304)
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n3,{pixels},PublicTest\n")
    assert "no row with a label of ferplus8" in refusal("--data", tmp_path)
    assert "put fer2013new.csv beside it" in refusal("--data", tmp_path / "fer2013.csv")


def test_seven_classes_are_not_scored_as_eight(bundle: Bundle, rafdb: Path) -> None:
    manifest = bundle.manifest
    names = tuple(name for name in manifest.labels if name != "contempt")
    variants = tuple(replace(v, output=replace(v.output, shape=(1, 7))) for v in manifest.variants)
    seven = replace(
        bundle, manifest=replace(manifest, labels=names, variants=variants, label_sets=None, default_label_set=None)
    )
    with pytest.raises(DataError, match="ferplus8: the bundle has no output for contempt") as caught:
        evaluate(seven, rafdb, "ferplus8")
    assert "\n" not in str(caught.value)


def test_majority_drops_what_the_crowd_disagreed_on(bundle: Bundle, tmp_path: Path) -> None:
    names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    votes = np.zeros((3, 10), dtype=np.int64)
    votes[0, 1], votes[1, 1], votes[1, 3], votes[2, 8] = 10, 5, 5, 10
    np.savez(
        tmp_path / "f.npz",
        images=np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8),
        fer_label=np.array([3, 4, -1], dtype=np.int8),
        ferplus_votes=votes,
        usage=np.array(["PublicTest"] * 3),
        duplicates_training=np.zeros(3, dtype=bool),
        fer_classes=np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        ferplus_classes=np.array(names),
    )
    found = {labels: evaluate(bundle, tmp_path / "f.npz", labels) for labels in ("ferplus8", "ferplus8_majority")}
    assert {labels: (each.n, each.n_dropped) for labels, each in found.items()} == {
        "ferplus8": (2, 1),
        "ferplus8_majority": (1, 2),
    }
    assert set(found["ferplus8_majority"].recall) == {"happiness"}
    assert "ferplus8_majority" in format_table(found["ferplus8_majority"])


def test_the_data_gate_takes_the_labels_of_the_recipe(
    bundle: Bundle, tmp_path: Path, one_set: Callable[[Recipe], Recipe]
) -> None:
    """Two rows: one whose votes say happiness and whose label says sadness."""
    votes = np.zeros((2, 10), dtype=np.int64)
    votes[:, 1] = 10
    np.savez(
        tmp_path / "f.npz",
        images=np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8),
        fer_label=np.array([4, 4], dtype=np.int8),
        ferplus_votes=votes,
        usage=np.array(["PublicTest"] * 2),
        duplicates_training=np.zeros(2, dtype=bool),
        fer_classes=np.array(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]),
        ferplus_classes=np.array(
            ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
        ),
    )
    recipe = one_set(load_recipe("hawqc_mbv2"))
    variant = bundle.manifest.variant("float32")
    network = {"float32": (variant, bundle.read(variant.file))}
    # the network has the same outputs either way; which label they are compared with is the recipe's
    for labels in ("ferplus8", "fer7"):
        (metric,) = check_accuracy(replace(recipe, labels=labels), network, tmp_path / "f.npz")["float32"]
        assert (metric.labels, metric.n) == (labels, 2)


def test_the_bar_covers_its_part_and_nothing_else() -> None:
    crop = np.random.default_rng(0).integers(0, 100, (96, 96, 3), dtype=np.uint8)
    areas = []
    for part, inside, outside in (("eyes", (0, 1), (2, 3)), ("mouth", (3,), (0, 1, 2))):
        before = crop.copy()
        covered = occlude(crop, ALIGN, part)  # type: ignore[arg-type]
        np.testing.assert_array_equal(crop, before)
        changed = (covered != crop).all(axis=2)
        rows, cols = bar(ALIGN, part, (96, 96))  # type: ignore[arg-type]
        assert changed[rows, cols].all()
        assert changed.sum() == changed[rows, cols].size
        assert (covered[changed] == GRAY).all()
        for number in inside:
            x, y = ALIGN.template[number]
            assert changed[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8].all()
        for number in outside:
            x, y = ALIGN.template[number]
            assert not changed[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3].any()
        areas.append(changed.sum())
    assert abs(int(areas[0]) - int(areas[1])) < 0.05 * areas[0]


def test_the_bar_scales_with_the_crop() -> None:
    small, large = (bar(ALIGN, "mouth", (side, side)) for side in (48, 96))
    for a, b in zip(small, large, strict=True):
        assert abs(2 * a.start - b.start) <= 1
        assert abs(2 * a.stop - b.stop) <= 1


def test_occluded_documents_say_so(
    bundle_path: Path, bundle: Bundle, rafdb: Path, crop: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(bundle_path), "--data", str(rafdb), "--labels", "fer7", "--occlude", "mouth"]
    assert cli.main([*line, "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["occluded"] == "mouth"
    assert schema.loads(text).occluded == "mouth"
    assert cli.main(line) == 0
    assert "a gray bar covers the mouth" in capsys.readouterr().out
    seen = evaluate(bundle, rafdb, "fer7")
    assert abs(schema.loads(text).ece - seen.ece) > 0.01
    plain = schema.dumps(seen)
    assert "occluded" not in plain
    assert "views" not in plain
    smile = bundle.manifest.labels.index("happiness")
    variant = bundle.manifest.variant(None)
    shown, hidden = predict(bundle, variant, [crop, occlude(crop, bundle.manifest.align, "mouth")])[:, smile]
    assert shown > hidden + 0.01  # without her mouth she smiles less


def test_ten_crops_are_averaged(bundle: Bundle, rafdb: Path, crop: np.ndarray) -> None:
    variant = bundle.manifest.variant("float32")
    unsure = occlude(crop, bundle.manifest.align, "mouth")
    (mean,) = predict(bundle, variant, [unsure], ten_crop=True)
    views = predict(bundle, variant, list(ten_crops(unsure)))
    np.testing.assert_allclose(mean, views.mean(axis=0), atol=1e-6)
    assert np.abs(views - views[0]).max() > 1e-3
    assert evaluate(bundle, rafdb, "fer7", ten_crop=True).views == 10
