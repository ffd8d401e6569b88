"""``fer-edge image`` on batches, folders, damaged files and odd names, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

import cv2
import numpy as np
import pytest
from picture_files import encode, jpeg, picture_data, quarters, turned_file, with_hole

from fer_edge.contract.bundle import Bundle
from fer_edge.contract.reading import ReadingDoc, load_line
from fer_edge.pictures.photo import prepare
from fer_edge.pipeline import open_pipeline
from fer_edge.types import RgbImage

Edge = Callable[..., subprocess.CompletedProcess[str]]
OneLine = Callable[..., str]


@pytest.fixture
def face(drawn: RgbImage) -> bytes:
    return encode(".png", drawn[:, :, ::-1])


def read_list(text: str) -> list[ReadingDoc]:
    return [load_line(json.dumps(document)) for document in json.loads(text)]


# -- 7: batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["--json"], ["--jsonl", "-"], []])
def test_one_bad_file_does_not_take_the_others_away(
    flags: list[str], edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "absent.png", "c.png")]
    for path in (paths[0], paths[3]):
        path.write_bytes(face)
    paths[1].write_text("no picture")
    done = edge("image", *paths, "--bundle", bundle.path, *flags)
    assert done.returncode == 2
    errors = done.stderr.splitlines()
    assert len(errors) == 2
    for line, path in zip(errors, paths[1:3], strict=True):
        assert line.startswith(f"fer-edge: error: photo {path}: ")
    if not flags:
        assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(paths[0]), str(paths[3])]
        return
    readings = read_list(done.stdout) if flags == ["--json"] else [load_line(line) for line in done.stdout.splitlines()]
    assert [reading.path for reading in readings] == [str(path) for path in paths]
    assert [len(reading.faces) for reading in readings] == [1, 0, 0, 1]
    assert [reading.error is None for reading in readings] == [True, False, False, True]
    assert f"fer-edge: error: {readings[1].error}" == errors[0]


def test_lines_come_as_soon_as_a_photo_is_read(bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    """The second photo is a pipe that nobody has filled yet; the first one's line is there already."""
    first, second, out = tmp_path / "1.png", tmp_path / "2.png", tmp_path / "out.jsonl"
    first.write_bytes(face)
    second.write_bytes(face * 1)
    line = [sys.executable, "-m", "fer_edge.cli", "image", first, *([second] * 60), "--bundle", bundle.path]
    process = subprocess.Popen([*map(str, line), "--jsonl", str(out)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (not out.exists() or not out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    lines_seen, is_running = out.read_text().count("\n"), process.poll() is None
    assert process.wait(120) == 0
    assert is_running
    assert 1 <= lines_seen < 61
    assert out.read_text().count("\n") == 61


def test_jsonl_is_appended_and_goes_with_text(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    photo, out = tmp_path / "a.png", tmp_path / "out.jsonl"
    photo.write_bytes(face)
    for n in (1, 2):
        done = edge("image", photo, "--bundle", bundle.path, "--jsonl", out)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{photo}: face 1 at ")
        assert len(out.read_text().splitlines()) == n


def test_two_outputs_in_one_place(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "a.png").write_bytes(face)
    one_line(
        edge("image", tmp_path / "a.png", "--bundle", bundle.path, "--json", "--jsonl", "-"),
        "both write to standard output",
    )
    one_line(
        edge("image", tmp_path / "a.png", "--bundle", bundle.path, "--jsonl", tmp_path / "no" / "out.jsonl"),
        "--jsonl",
        "No such file",
    )
    one_line(edge("image", tmp_path / "a.png", "--bundle", bundle.path, "--jsonl", tmp_path / "a.png"), "which is read")
    assert (tmp_path / "a.png").read_bytes() == face


def test_a_folder_is_read_as_its_pictures(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "dcim"
    (folder / "below.jpg").mkdir(parents=True)
    for name in ("img10.png", "img2.png", "IMG1.PNG", ".hidden.png", "._img2.png"):
        (folder / name).write_bytes(face)
    (folder / "clip.gif").write_bytes(b"GIF89a")
    (folder / "notes.txt").write_text("x")
    (folder / "README").write_text("x")
    done = edge("image", folder, "--bundle", bundle.path, "--jsonl", "-", "--annotate", tmp_path / "out")
    assert done.returncode == 0
    names = [Path(str(load_line(line).path)).name for line in done.stdout.splitlines()]
    assert names == ["IMG1.PNG", "img2.png", "img10.png"]
    said, made = done.stderr.splitlines()
    assert said.startswith(f"fer-edge: folder {folder}: 3 files are not read (1 .gif, 1 .txt, 1 without an ending)")
    assert made == f"fer-edge: --annotate {tmp_path / 'out'}: makes the folder {tmp_path / 'out'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["IMG1.PNG", "img10.png", "img2.png"]


def test_folders_without_photos(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(face)
    done = edge("image", tmp_path / "empty", tmp_path / "a.png", "--bundle", bundle.path, "--json")
    assert done.returncode == 2
    assert done.stderr == f"fer-edge: error: folder {tmp_path / 'empty'}: no photos in it\n"
    assert [len(reading.faces) for reading in read_list(done.stdout)] == [0, 1]


def test_a_picture_that_cannot_be_written_takes_no_reading_away(
    edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(face)
    out = tmp_path / "out"
    (out / "a.png").mkdir(parents=True)
    done = edge("image", tmp_path / "a.png", tmp_path / "b.png", "--bundle", bundle.path, "--json", "--annotate", out)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert [len(reading.faces) for reading in read_list(done.stdout)] == [1, 1]
    assert (out / "b.png").is_file()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


# -- 8: orientation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["png", "webp", "tiff"])
@pytest.mark.parametrize("code", [3, 6, 8])
def test_photos_on_their_side(
    container: str, code: int, edge: Edge, bundle: Bundle, drawn: RgbImage, face: bytes, tmp_path: Path
) -> None:
    (tmp_path / "upright.png").write_bytes(face)
    turned = tmp_path / f"turned.{container}"
    turned.write_bytes(turned_file(container, np.ascontiguousarray(drawn[:, :, ::-1]), code))
    done = edge("image", tmp_path / "upright.png", turned, "--bundle", bundle.path, "--json")
    first, second = read_list(done.stdout)
    assert (second.width, second.height) == (640, 480)
    np.testing.assert_allclose(second.faces[0].box, first.faces[0].box, atol=4)


# -- 10: damaged photos -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize("how", ["cut", "hole"])
def test_a_damaged_photo_is_read_and_marked(
    ending: str, how: str, edge: Edge, bundle: Bundle, drawn: RgbImage, tmp_path: Path
) -> None:
    noisy = np.clip(drawn[:, :, ::-1].astype(int) + np.random.default_rng(1).integers(-8, 9, drawn.shape), 0, 255)
    content = encode(ending, noisy.astype(np.uint8))
    start, end = picture_data(content)
    at = start + (end - start) * 9 // 10
    photo = tmp_path / f"photo{ending}"
    photo.write_bytes(content[:at] if how == "cut" else with_hole(content, at, 512))
    done = edge("image", photo, "--bundle", bundle.path, "--json")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"fer-edge: photo {photo}: damaged (")
    (reading,) = read_list(done.stdout)
    assert reading.damaged is True
    assert (reading.width, reading.height, reading.error) == (640, 480, None)
    assert len(reading.faces) == 1


def test_a_sound_photo_is_not_marked(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(face)
    done = edge("image", tmp_path / "a.png", "--bundle", bundle.path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "damaged" not in done.stdout


# -- 11: boxes ----------------------------------------------------------------------------------------------------


def test_the_inside_of_a_box_can_be_cut_out(edge: Edge, bundle: Bundle, drawn: RgbImage, tmp_path: Path) -> None:
    """A face that the picture's edge cuts off."""
    whole = tmp_path / "whole.png"
    cv2.imwrite(str(whole), drawn[:, :, ::-1])
    (face,) = read_list(edge("image", whole, "--bundle", bundle.path, "--json").stdout)[0].faces
    x, y, w, h = (round(value) for value in face.box)
    cut = drawn[y + h // 12 :, x + w // 12 :]
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), cut[:, :, ::-1])
    (reading,) = read_list(edge("image", path, "--bundle", bundle.path, "--json").stdout)
    (face,) = reading.faces
    assert min(face.box[:2]) < 0, "the test's picture does not show what it should"
    assert face.box_inside is not None
    x, y, w, h = face.box_inside
    assert 0 <= x < x + w <= reading.width
    assert 0 <= y < y + h <= reading.height
    assert cut[y : y + h, x : x + w].shape[:2] == (h, w)
    assert x + w == pytest.approx(face.box[0] + face.box[2], abs=1)


# -- 13: names ----------------------------------------------------------------------------------------------------


def test_names_that_are_not_utf8(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \xc3\xa9.png"
    bad = os.fsencode(tmp_path) + b"/\xff.jpg"
    for path, content in ((name, face), (bad, b"no picture")):
        with open(path, "wb") as file:
            file.write(content)
    for locale in ("C.UTF-8", "C", "POSIX"):
        line = [sys.executable, "-m", "fer_edge.cli", "image", name, bad, "--bundle", str(bundle.path)]
        for flags in (["--json"], ["--jsonl", "-"], []):
            done = subprocess.run(
                [*line, *flags], capture_output=True, check=False, env={**os.environ, "LC_ALL": locale}
            )
            assert done.returncode == 2
            text = done.stdout.decode("utf-8")  # strictly
            assert done.stderr.decode().startswith("fer-edge: error: photo ")
            assert "\\xff.jpg: " in done.stderr.decode()
            if not flags:
                assert "/caf\\xe9 é.png: face 1" in text
                continue
            documents = json.loads(text) if flags == ["--json"] else [json.loads(row) for row in text.splitlines()]
            assert documents[0]["path"].endswith("/caf\\xe9 é.png")
            assert [unquote_to_bytes(document["path_bytes"]) for document in documents] == [name, bad]


def test_names_that_would_speak_to_the_terminal(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "a\n\x1b[31mred.png"
    photo.write_bytes(face)
    done = edge("image", photo, "--bundle", bundle.path)
    assert len(done.stdout.splitlines()) == 1
    assert "/a\\n\\x1b[31mred.png: face 1" in done.stdout
    (reading,) = read_list(edge("image", photo, "--bundle", bundle.path, "--json").stdout)
    assert reading.path == str(photo)  # JSON holds any name


def test_a_folder_of_such_names_as_a_source(edge: Edge, bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xfcber"
    os.mkdir(folder)
    for name in (b"caf\xe9.png", "é.png".encode()):
        with open(folder + b"/" + name, "wb") as file:
            file.write(face)
    out = tmp_path / "out.jsonl"
    source = b"images://" + folder
    line = [sys.executable, "-m", "fer_edge.cli", "run", "--source", source, "--bundle", str(bundle.path)]
    done = subprocess.run([*line, "--jsonl", str(out)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    documents = [json.loads(row) for row in out.read_bytes().decode("utf-8").splitlines()]
    assert [unquote_to_bytes(document["path_bytes"]) for document in documents] == [
        folder + b"/caf\xe9.png",
        folder + "/é.png".encode(),
    ]
    assert documents[0]["source"].endswith("/\\xfcber/caf\\xe9.png")


def test_json_is_utf8_in_any_locale(bundle: Bundle, face: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "schön →.png"
    photo.write_bytes(face)
    line = [sys.executable, "-m", "fer_edge.cli", "image", str(photo), "--bundle", str(bundle.path), "--json"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(line, capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout.decode("utf-8"))[0]["path"] == str(photo)


# -- newcomers 5 and 13 -------------------------------------------------------------------------------------------


def test_annotated_pictures_have_the_photo_s_own_size(
    edge: Edge, bundle: Bundle, drawn: RgbImage, tmp_path: Path
) -> None:
    """And the box stands where the reading says."""
    photo, out = tmp_path / "large.png", tmp_path / "out.png"
    large = cv2.resize(drawn[:, :, ::-1], None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(photo), large)
    done = edge("image", photo, "--bundle", bundle.path, "--json", "--annotate", out)
    (reading,) = read_list(done.stdout)
    annotated = cv2.imread(str(out))
    assert annotated.shape == (reading.height, reading.width, 3) == large.shape
    x, y, w, h = (round(value) for value in reading.faces[0].box)
    yellow = (annotated == (0, 200, 255)).all(axis=2)
    for row in (y, y + h):
        assert yellow[row - 4 : row + 5, x + 20 : x + w - 20].any(axis=0).mean() > 0.9
    for column in (x, x + w):
        assert yellow[y + 20 : y + h - 20, column - 4 : column + 5].any(axis=1).mean() > 0.9


def test_a_program_s_own_array_reads_as_the_file_does(
    edge: Edge, bundle: Bundle, drawn: RgbImage, tmp_path: Path
) -> None:
    large = np.ascontiguousarray(cv2.resize(drawn, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC))
    photo = tmp_path / "large.png"
    cv2.imwrite(str(photo), large[:, :, ::-1])
    (by_command,) = read_list(edge("image", photo, "--bundle", bundle.path, "--json", "--tiles", "0").stdout)
    pipeline = open_pipeline(bundle)
    by_program = pipeline.read_frame(prepare(large).frame(0, "array")).to_doc(path=str(photo))
    assert by_program.faces == by_command.faces
    assert (by_program.width, by_program.height) == (by_command.width, by_command.height)


def test_heic_without_its_reader_says_what_to_install(
    edge: Edge, bundle: Bundle, tmp_path: Path, one_line: OneLine
) -> None:
    photo = tmp_path / "IMG_1.HEIC"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    block = tmp_path / "block"
    (block / "PIL").mkdir(parents=True)
    (block / "PIL" / "__init__.py").write_text("raise ModuleNotFoundError('PIL')")
    environment = {**os.environ, "PYTHONPATH": str(block)}
    done = edge("image", photo, "--bundle", bundle.path, env=environment)
    one_line(done, str(photo), "a HEIC picture", "pip install 'fer-edge[heif]'")


def test_quarters_are_no_face(edge: Edge, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(quarters(240, 320)))
    done = edge("image", tmp_path / "a.jpg", "--bundle", bundle.path)
    assert done.stdout == f"{tmp_path / 'a.jpg'}: no face\n"
