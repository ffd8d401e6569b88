"""Every published layout on a small generated tree; class orders, which differ in every set; half-present sets."""

from __future__ import annotations

import csv
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.contract.labels import EMOTIONS7, EMOTIONS8
from fer_host.data import unread
from fer_host.data.faces import FaceData, FaceRows, describe
from fer_host.data.identities import load_identities
from fer_host.data.load import data_digest, load_data, open_data
from fer_host.data.streamed import FileSource, Streamed
from fer_host.data.unread import FaceFiles
from fer_host.errors import DataError


def picture(path: Path, value: int = 100, side_px: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(value).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


def names(data: FaceRows) -> list[str | None]:
    return [EMOTIONS8[i] if i >= 0 else None for i in data.label8]


def test_the_two_label_columns_agree(tmp_path: Path) -> None:
    data = open_data(rafdb(tmp_path))
    assert names(data) == [EMOTIONS7[i] for i in data.label7]


# --- FER2013's CSV


def fer_csv(folder: Path, votes: bool = True, header: str = "emotion,pixels,Usage") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    usage = ["Training"] * 7 + ["PublicTest", "PrivateTest"]
    columns = [name.strip() for name in header.split(",")]
    with (folder / "fer2013.csv").open("w", newline="") as file:
        file.write(header + "\n")
        for i, split in enumerate(usage):
            value = 0 if split == "PublicTest" else i  # the PublicTest image is the first Training image
            cells = {"emotion": str(i % 7), "pixels": " ".join([str(value)] * 2304), "Usage": split}
            csv.writer(file).writerow([cells[name] for name in columns])
    if votes:
        plus = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
        with (folder / "fer2013new.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Usage", "Image name", *plus])
            for i, split in enumerate(usage):
                writer.writerow([split, f"fer{i:07d}.png", *(10 if column == i else 0 for column in range(10))])
    return folder


FER_ORDER = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
PLUS_ORDER = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", None]


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, Usage, pixels"])
def test_fer2013_csv_has_both_label_orders(tmp_path: Path, header: str) -> None:
    data = open_data(fer_csv(tmp_path, header=header))
    assert isinstance(data, FaceData)
    assert [EMOTIONS7[i] for i in data.label7] == [*FER_ORDER, "anger", "disgust"]
    assert names(data) == PLUS_ORDER
    assert data.images.shape == (9, 48, 48)
    assert data.images[3].max() == data.images[3].min() == 3
    assert data.usage.tolist()[-2:] == ["PublicTest", "PrivateTest"]
    assert data.duplicate.tolist() == [False] * 7 + [True, False]
    assert data.sequence[7] == data.sequence[0] != data.sequence[1]
    np.testing.assert_array_equal(data.votes8[0], 10 * np.eye(8)[EMOTIONS8.index("neutral")])


def test_fer2013_csv_without_votes_has_no_eight_labels(tmp_path: Path) -> None:
    data = open_data(fer_csv(tmp_path, votes=False) / "fer2013.csv")
    assert names(data) == [None] * 9
    assert "fer2013new.csv" in data.source
    assert [EMOTIONS7[i] for i in data.label7[:7]] == FER_ORDER


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace("emotion,", "feeling,", 1), "lacks the column 'emotion'"),
        (lambda text: text[: len(text) - 3000], "line"),
        (lambda text: text.replace("\n1,", "\n9,", 1), "line 3: found emotion '9'"),
        (lambda text: text.replace("3 3 3", "3 300 3", 1), "line 5"),
        (lambda text: text.replace("3 3 3", f"3 {10**30} 3", 1), "line 5"),
        (lambda text: text.splitlines()[0] + "\n", "no rows"),
    ],
)
def test_a_damaged_fer2013_csv_is_named(tmp_path: Path, damage: Callable[[str], str], said: str) -> None:
    path = fer_csv(tmp_path) / "fer2013.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=said):
        open_data(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("vote", ["1000001", "1e300", "-1", "nan"])
def test_votes_beyond_any_count_are_refused(tmp_path: Path, vote: str) -> None:
    path = fer_csv(tmp_path) / "fer2013new.csv"
    path.write_text(path.read_text().replace(",10", f",{vote}"))
    with pytest.raises(DataError, match=r"votes beyond 0 to 1000000"):
        open_data(path.with_name("fer2013.csv"))


def test_votes_of_other_rows_are_refused(tmp_path: Path) -> None:
    path = fer_csv(tmp_path) / "fer2013new.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="8 rows that do not follow"):
        open_data(tmp_path)


# --- folders by emotion

PUBLIC = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def public_folders(root: Path) -> Path:
    for split in ("train", "test"):
        for i, name in enumerate(PUBLIC):
            picture(root / split / name / f"{split}_{i}.jpg", i + 10 * (split == "test"))
    return root


def test_public_folders_have_a_split(tmp_path: Path) -> None:
    data = open_data(public_folders(tmp_path))
    assert isinstance(data, FaceFiles)
    assert data.framing == "crops"
    expected = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    by_split = {split: [n for n, u in zip(names(data), data.usage, strict=True) if u == split] for split in data.usage}
    assert by_split == {"Test": expected, "Training": expected}


def test_identical_images_in_public_folders_are_one_group(tmp_path: Path) -> None:
    root = public_folders(tmp_path)
    shutil.copy(root / "train" / "happy" / "train_3.jpg", root / "train" / "sad" / "again.jpg")
    shutil.copy(root / "train" / "happy" / "train_3.jpg", root / "test" / "happy" / "again.jpg")
    listed = open_data(root)
    assert isinstance(listed, FaceFiles)
    same = [i for i, path in enumerate(listed.files) if path.name in ("train_3.jpg", "again.jpg")]
    data = load_data(root, quiet=True)
    for groups in (data.sequence, data.subject):
        assert len(set(groups[same].tolist())) == 1
        assert len(set(groups.tolist())) == len(data) - 2
    assert not data.persons_known
    assert [data.usage[i] for i in np.flatnonzero(data.duplicate)] == ["Test"]


def test_a_split_that_lacks_an_emotion_is_named(tmp_path: Path) -> None:
    shutil.rmtree(public_folders(tmp_path) / "test" / "disgust")
    with pytest.raises(DataError, match=r"test: lacks a folder for disgust"):
        open_data(tmp_path)


@pytest.mark.parametrize("split", ["", "train"])
@pytest.mark.parametrize("name", ["Freude", "glad", "7"])
def test_a_folder_whose_name_is_no_emotion_is_named_and_not_left_out(tmp_path: Path, split: str, name: str) -> None:
    public_folders(tmp_path) if split else [picture(tmp_path / n / "a.png", i) for i, n in enumerate(PUBLIC)]
    picture(tmp_path / split / name / "a.png", 50)
    picture(tmp_path / split / name / "b.png", 51)
    with pytest.raises(DataError, match=rf"'{name}' \(2 photos\).*expected folders named anger"):
        open_data(tmp_path)


def test_folders_without_photos_are_no_classes(tmp_path: Path) -> None:
    public_folders(tmp_path)
    (tmp_path / "train" / "notes").mkdir()
    (tmp_path / "train" / "notes" / "readme.txt").write_text("about")
    open_data(tmp_path)


def test_class_numbers_are_refused_with_the_orders_that_they_may_mean(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in range(1, 8):
            picture(tmp_path / split / str(number) / "a.png", number)
    with pytest.raises(DataError, match=r"class numbers.*RAF-DB: 1 surprise.*AffectNet: 0 neutral"):
        open_data(tmp_path)


@pytest.mark.parametrize(("name", "emotion"), [("joy", "happiness"), ("Natural", "neutral"), ("AFRAID", "fear")])
def test_other_words_for_the_emotions(tmp_path: Path, name: str, emotion: str) -> None:
    for i, folder in enumerate(("angry", name)):
        picture(tmp_path / folder / "a.png", i)
    assert sorted(map(str, names(open_data(tmp_path)))) == sorted(["anger", emotion])


@pytest.mark.parametrize(
    ("sides", "framing"),
    [((48, 48), "crops"), ((112, 112), "crops"), ((48, 64), "photos"), ((480, 480), "photos")],
)
def test_pictures_tell_crops_from_photos_in_split_folders(tmp_path: Path, sides: tuple[int, int], framing: str) -> None:
    for split in ("train", "test"):
        for i, name in enumerate(PUBLIC):
            picture(tmp_path / split / name / "a.png", i, sides[0])
            picture(tmp_path / split / name / "b.png", i + 10, sides[1])
    data = open_data(tmp_path)
    assert isinstance(data, FaceFiles)
    assert data.framing == framing
    assert framing.removesuffix("s") in data.source


def test_own_photos_need_a_detector(tmp_path: Path) -> None:
    picture(tmp_path / "Happy" / "a.jpg")
    picture(tmp_path / "other" / "b.jpg")  # says itself that it is no emotion
    data = open_data(tmp_path)
    assert (names(data), data.usage.tolist()) == (["happiness"], ["All"])
    with pytest.raises(DataError, match="detector"):
        load_data(tmp_path)


def test_ckplus_crops_are_known_by_their_names(tmp_path: Path) -> None:
    for i, name in enumerate(("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")):
        for frame in (15, 16, 17):
            picture(tmp_path / name / f"S{10 + i:03d}_004_000000{frame}.png", 30 * i + frame)
    data = open_data(tmp_path)
    assert data.source.startswith("CK+")
    assert len(data) == 21
    assert names(data)[::3] == ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    assert data.subject.tolist()[:4] == ["S010", "S010", "S010", "S011"]
    assert data.sequence.tolist()[:1] == ["S010_004"]
    assert load_data(tmp_path, quiet=True).images.shape == (21, 48, 48)


# --- RAF-DB

RAF_ORDER = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]


def rafdb(root: Path) -> Path:
    lines = []
    for split in ("test", "train"):
        for i in range(7):
            picture(root / "Image" / "aligned" / f"{split}_{i:05d}_aligned.jpg", i, side_px=100)
            lines.append(f"{split}_{i:05d}.jpg {i + 1}")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return root


def test_rafdb_order(tmp_path: Path) -> None:
    data = open_data(rafdb(tmp_path))
    assert names(data) == RAF_ORDER * 2
    assert data.usage.tolist() == ["Test"] * 7 + ["Training"] * 7
    assert isinstance(data, FaceFiles)
    assert data.framing == "crops"
    assert [path.name for path in data.files][7] == "train_00000_aligned.jpg"
    assert load_data(tmp_path, size_px=48, quiet=True).images.shape == (14, 48, 48)
    assert load_data(tmp_path, size_px=64, color="rgb", quiet=True).images.shape == (14, 64, 64, 3)


def test_pixels_are_the_pictures_own(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "happy" / "a.png", 5)
    picture(tmp_path / "test" / "happy" / "b.png", 5)
    rgb = load_data(tmp_path, color="rgb", quiet=True)
    stored = cv2.imread(str(tmp_path / "test" / "happy" / "b.png"))
    assert stored is not None
    np.testing.assert_array_equal(rgb.images[0], stored[:, :, ::-1])
    assert rgb.duplicate.tolist() == [True, False]
    assert rgb.usage.tolist() == ["Test", "Training"]
    gray = load_data(tmp_path, quiet=True).images[0].astype(float)
    np.testing.assert_allclose(gray, stored[:, :, ::-1] @ [0.299, 0.587, 0.114], atol=0.51)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: shutil.rmtree(root / "EmoLabel"), "without its labels"),
        (lambda root: shutil.rmtree(root / "Image" / "aligned"), "without its faces"),
        (lambda root: (root / "Image" / "aligned" / "train_00003_aligned.jpg").unlink(), "1 of 14 faces are missing"),
        (lambda root: (root / "EmoLabel" / "list_patition_label.txt").write_text("train_00001.jpg 8\n"), "line 1"),
        (lambda root: (root / "EmoLabel" / "list_patition_label.txt").write_text("dev_00001.jpg 1\n"), "line 1"),
    ],
)
def test_half_of_rafdb_is_named(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(rafdb(tmp_path))
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


# --- AffectNet

AFFECT_ORDER = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"]


def affectnet(root: Path) -> Path:
    for part in ("train_set", "val_set"):
        for i in range(9):  # 8 is "none"
            picture(root / part / "images" / f"{i}.jpg", i, side_px=56)
            (root / part / "annotations").mkdir(exist_ok=True)
            np.save(root / part / "annotations" / f"{i}_exp.npy", np.array(str(i)) if i % 2 else np.int64(i))
    return root


def test_affectnet_order(tmp_path: Path) -> None:
    data = open_data(affectnet(tmp_path))
    assert names(data) == [*AFFECT_ORDER, None] * 2
    assert data.usage.tolist() == ["Training"] * 9 + ["Test"] * 9
    assert data.label7[7] == -1  # contempt has no place among seven


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: shutil.rmtree(root / "val_set"), "without val_set/images"),
        (lambda root: shutil.rmtree(root / "train_set" / "annotations"), "without train_set/annotations"),
        (lambda root: (root / "val_set" / "annotations" / "3_exp.npy").unlink(), "3_exp.npy: no such file"),
        (lambda root: (root / "val_set" / "annotations" / "3_exp.npy").write_bytes(b"no"), "not a label"),
    ],
)
def test_half_of_affectnet_is_named(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(affectnet(tmp_path))
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


def affectnet_csv(root: Path) -> Path:
    header = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
              "expression", "valence", "arousal"]  # fmt: skip
    for table in ("training", "validation"):
        with (root / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            if table == "training":  # the published validation.csv has no header
                writer.writerow(header)
            for i in range(9):
                name = f"{i}/{table}{i}.jpg"
                if i < 8:  # photos without an expression need not be there
                    picture(root / "Manually_Annotated_Images" / name, i, side_px=80)
                writer.writerow([name, 10, 20, 30, 40, "1;2", i, -2, -2])
    return root


def test_affectnet_csv_order_and_boxes(tmp_path: Path) -> None:
    data = open_data(affectnet_csv(tmp_path))
    assert isinstance(data, FaceFiles)
    assert names(data) == [*AFFECT_ORDER, None] * 2
    assert data.boxes[0].tolist() == [10, 20, 30, 40]
    assert data.framing == "photos"
    seen: list[tuple[int, ...]] = []

    def crop(image: np.ndarray) -> np.ndarray | None:
        seen.append(image.shape)
        return image if len(seen) > 1 else None

    faces = data.select(np.arange(3)).read(crop, 24)
    assert len(faces) == 2  # no face in the first
    assert names(faces) == AFFECT_ORDER[1:3]
    assert seen[0] == (72, 52, 3)  # the box with room around it, within the picture
    box_only = data.open(0, None)
    assert box_only is not None
    assert box_only.shape == (40, 30, 3)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: (root / "validation.csv").unlink(), "without validation.csv"),
        (lambda root: shutil.rmtree(root / "Manually_Annotated_Images"), "tables without photos"),
        (lambda root: (root / "Manually_Annotated_Images/2/training2.jpg").unlink(), "1 of 18 photos are missing"),
        (lambda root: (root / "validation.csv").write_text("a.jpg,1,1,1,1,x,11,0,0\n"), "line 1"),
    ],
)
def test_half_of_affectnet_csv_is_named(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(affectnet_csv(tmp_path))
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


# --- CK+

CK_ORDER = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]


def ckplus(root: Path) -> Path:
    for i in range(7):
        for sequence in ("001", "002"):  # the second has no label
            for frame in range(1, 6):
                stem = f"S{i:03d}_{sequence}_{frame:08d}"
                picture(root / "cohn-kanade-images" / f"S{i:03d}" / sequence / f"{stem}.png", i + 10 * frame)
            labels = root / "Emotion" / f"S{i:03d}" / sequence
            labels.mkdir(parents=True)
            if sequence == "001":
                (labels / f"S{i:03d}_001_00000005_emotion.txt").write_text(f"   {i + 1}.0000000e+00\n")
    (root / "cohn-kanade-images" / "S000" / "001" / "Thumbs.db").write_bytes(b"x")
    return root


def test_ckplus_takes_the_peak_frames_of_labelled_sequences(tmp_path: Path) -> None:
    data = open_data(ckplus(tmp_path))
    assert isinstance(data, FaceFiles)
    assert names(data)[::3] == CK_ORDER
    assert len(data) == 21
    assert [path.stem for path in data.files[:3]] == [f"S000_001_0000000{frame}" for frame in (3, 4, 5)]
    assert data.sequence.tolist()[:4] == ["S000_001"] * 3 + ["S001_001"]
    assert data.subject.tolist()[3] == "S001"


def test_what_a_label_set_leaves_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = load_data(ckplus(tmp_path), crop=lambda image: image, labels="fer7")
    said = capsys.readouterr().err
    assert "3 of 21 images have no label of fer7 (3 contempt) and are left out" in said
    assert "no image is labelled neutral" in said
    assert len(read) == 18
    assert (read.label7 >= 0).all()
    assert read.persons_known
    assert sorted(set(read.sequence.tolist())) == [f"S00{i}_001" for i in (0, 2, 3, 4, 5, 6)]
    load_data(tmp_path, crop=lambda image: image, labels="fer7", quiet=True)
    assert not capsys.readouterr().err


def test_a_set_that_has_every_label_says_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_data(rafdb(tmp_path), labels="fer7")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_set_without_a_label_to_learn_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "contempt" / "S010_004_00000015.png")
    with pytest.raises(DataError, match="no image with a label of fer7"):
        load_data(tmp_path, labels="fer7", quiet=True)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: shutil.rmtree(root / "Emotion"), "without its labels"),
        (lambda root: shutil.rmtree(root / "cohn-kanade-images"), "without its frames"),
        (lambda root: shutil.rmtree(root / "cohn-kanade-images" / "S003"), "S003/001 has a label and 0 frames"),
        (lambda root: next(root.rglob("S002*_emotion.txt")).write_text("0.0"), "expected a number 1 to 7"),
    ],
)
def test_half_of_ckplus_is_named(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(ckplus(tmp_path))
    with pytest.raises(DataError, match=said):
        open_data(tmp_path)


# --- JAFFE


@pytest.mark.parametrize("below", ["", "jaffedbase"])
def test_jaffe_order_and_subjects(tmp_path: Path, below: str) -> None:
    for i, code in enumerate(("AN", "DI", "FE", "HA", "NE", "SA", "SU")):
        picture(tmp_path / below / f"K{'AL'[i % 2]}.{code}1.{39 + i}.tiff", i, side_px=64)
    (tmp_path / below / "README").write_text("cite")
    data = open_data(tmp_path)
    assert data.source == "JAFFE"
    found = dict(zip([path.name.split(".")[1][:2] for path in data.files], names(data), strict=True))  # type: ignore[union-attr]
    assert found == {"AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral",
                     "SA": "sadness", "SU": "surprise"}  # fmt: skip
    assert sorted(set(data.subject.tolist())) == ["KA", "KL"]
    assert len(set(data.sequence.tolist())) == 7
    read = load_data(tmp_path, crop=lambda image: image, size_px=32, quiet=True)  # cv2 reads TIFF
    assert read.images.shape == (7, 32, 32)


def test_the_takes_of_one_person_and_emotion_are_a_jaffe_sequence(tmp_path: Path) -> None:
    for i, name in enumerate(("KA.AN1.39", "KA.AN2.40", "KA.HA1.29", "KL.AN1.167")):
        picture(tmp_path / f"{name}.tiff", i, side_px=64)
    data = load_data(tmp_path, crop=lambda image: image, size_px=32, quiet=True)
    assert data.sequence.tolist() == ["KA_AN", "KA_AN", "KA_HA", "KL_AN"]
    assert data.subject.tolist() == ["KA", "KA", "KA", "KL"]
    assert data.persons_known


def test_a_name_that_jaffe_does_not_have_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "KA.AN1.39.tiff")
    picture(tmp_path / "KA.XX1.40.tiff")
    with pytest.raises(DataError, match=r"KA\.XX1\.40\.tiff"):
        open_data(tmp_path)


# --- identities (VGGFace2), generated trees only


def identities(root: Path) -> Path:
    for part, numbers in (("train", (2, 3, 4)), ("test", (1,))):
        for number in numbers:
            for i in range(10):
                path = root / part / f"n{number:06d}" / f"{i:04d}_01.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")  # listed, not opened
    return root


def test_identities_of_both_parts_are_classes(tmp_path: Path) -> None:
    found = load_identities(identities(tmp_path), seed=1, validation_share=0.2)
    assert found.names == ("n000001", "n000002", "n000003", "n000004")
    assert isinstance(found.source, FileSource)
    people = [Path(os.fsdecode(name)).parent.name for name in found.source.names]
    assert [found.names[label] for label in found.label] == people
    assert [int(found.validation[found.label == i].sum()) for i in range(4)] == [2, 2, 2, 2]
    again, other = (load_identities(tmp_path, seed=s, validation_share=0.2) for s in (1, 2))
    assert (again.validation == found.validation).all()
    assert (other.validation != found.validation).any()
    with pytest.raises(DataError, match="carry no emotions"):
        open_data(tmp_path)


def test_identity_trees_that_are_not_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no identities"):
        load_identities(tmp_path, seed=1)
    root = identities(tmp_path)
    shutil.copytree(root / "test" / "n000001", root / "train" / "n000001")
    with pytest.raises(DataError, match="n000001 is below train and test"):
        load_identities(root, seed=1)
    shutil.rmtree(root / "train" / "n000001")
    for path in (root / "train" / "n000003").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="n000003: an identity without photos"):
        load_identities(root, seed=1)


# --- the entry point


def test_what_is_not_known_is_refused_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_data(tmp_path / "nowhere")
    (tmp_path / "misc").mkdir()
    with pytest.raises(DataError, match=r"found misc; expected one of: fer2013\.csv"):
        open_data(tmp_path)


def test_it_says_what_it_took_it_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_data(rafdb(tmp_path))
    said = capsys.readouterr().err
    assert "taken for RAF-DB" in said
    assert "14 images (Test 7, Training 7)" in said
    assert describe(open_data(tmp_path)) in said


def test_an_unreadable_picture_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rafdb(tmp_path) / "Image" / "aligned" / "train_00003_aligned.jpg"
    path.write_bytes(path.read_bytes()[:40])
    assert len(load_data(tmp_path, quiet=True)) == 13
    said = capsys.readouterr().err
    assert "train_00003_aligned" in said
    assert "1 of 14 pictures cannot be read" in said
    data = open_data(tmp_path)
    assert isinstance(data, FaceFiles)
    with pytest.raises(DataError, match="train_00003_aligned"):
        data.open([file.name for file in data.files].index("train_00003_aligned.jpg"), None)


def test_crops_that_are_many_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = rafdb(tmp_path)
    needed = 2 * 14 * 96 * 96 * 3  # the set, and the rows that are trained on
    monkeypatch.setattr(unread, "free_bytes", lambda: needed)
    whole = load_data(root, size_px=96, color="rgb", quiet=True)
    assert isinstance(whole.images, np.ndarray)
    monkeypatch.setattr(unread, "free_bytes", lambda: needed - 1)
    with monkeypatch.context() as context:
        context.setattr(FaceFiles, "opened", lambda *_: pytest.fail("opened"))
        data = load_data(root, size_px=96, color="rgb", quiet=True)
    assert isinstance(data.images, Streamed)
    assert data.images.shape == (14, 96, 96, 3)
    np.testing.assert_array_equal(data.images[np.arange(14)], whole.images)
    assert isinstance(load_data(root, size_px=96, quiet=True).images, np.ndarray)  # gray takes a third
    monkeypatch.setattr(unread, "IN_MEMORY_BYTES", 100)
    assert isinstance(load_data(root, size_px=96, quiet=True).images, Streamed)


def test_photos_that_do_not_fit_into_memory_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ckplus(tmp_path)
    monkeypatch.setattr(unread, "free_bytes", lambda: 1000)
    with monkeypatch.context() as context:
        context.setattr(FaceFiles, "opened", lambda *_: pytest.fail("opened"))
        with pytest.raises(DataError, match=r"of free memory; expected .*`fer-host shard DATA OUT`") as caught:
            load_data(root, crop=lambda image: image, quiet=True)
    assert "\n" not in str(caught.value)


def test_pictures_are_read_into_one_array(tmp_path: Path) -> None:
    data = open_data(rafdb(tmp_path))
    assert isinstance(data, FaceFiles)
    many = data.select(np.arange(140) % 14)
    tracemalloc.start()
    try:
        images = many.read(None, 160, "rgb").images
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert images.nbytes == 140 * 160 * 160 * 3
    assert peak < 1.4 * images.nbytes  # a list and its stack would be twice that


def test_the_digest_follows_the_files(tmp_path: Path) -> None:
    first = data_digest(rafdb(tmp_path))
    assert first == data_digest(tmp_path)
    (tmp_path / "Image" / "aligned" / "train_00003_aligned.jpg").unlink()
    assert first != data_digest(tmp_path)
