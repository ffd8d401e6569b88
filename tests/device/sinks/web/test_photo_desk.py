"""Photos that the page is given: prepared as the command prepares them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from picture_files import encode, jpeg, picture_data, quarters, turned_file

from fer_edge.contract.bundle import Bundle
from fer_edge.pictures.photo import read_photo
from fer_edge.pipeline import Pipeline, open_pipeline
from fer_edge.sinks.web.controls import PhotoDesk
from fer_edge.sinks.web.upload import WrongType, check_photo
from fer_edge.types import RgbImage


@pytest.fixture(scope="module")
def pipeline(bundle: Bundle) -> Pipeline:
    return open_pipeline(bundle)


@pytest.mark.parametrize("container", ["jpeg", "png", "webp"])
def test_the_page_reads_what_the_command_reads(
    container: str, pipeline: Pipeline, drawn: RgbImage, tmp_path: Path
) -> None:
    content = turned_file(container, np.ascontiguousarray(drawn[:, :, ::-1]), 6)
    (tmp_path / "photo").write_bytes(content)
    by_page = PhotoDesk(lambda: pipeline).read_photo(content).to_doc()
    by_command = pipeline.read_frame(read_photo(tmp_path / "photo").frame(0, "photo")).to_doc()
    assert len(by_page.faces) == 1
    assert by_page.faces == by_command.faces
    assert by_page.damaged is None


def test_a_damaged_upload_is_marked(pipeline: Pipeline, drawn: RgbImage, capfd: pytest.CaptureFixture[str]) -> None:
    content = jpeg(np.ascontiguousarray(drawn[:, :, ::-1]))
    start, end = picture_data(content)
    document = PhotoDesk(lambda: pipeline).read_photo(content[: start + (end - start) * 9 // 10]).to_doc()
    assert document.damaged is True
    assert len(document.faces) == 1
    assert capfd.readouterr().err == ""
    json.dumps(document.faces[0].box_inside)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "a HEIC picture, not a JPEG"),
        (b"GIF89a" + bytes(99), "a GIF, not a JPEG"),
        (encode(".tiff", quarters()), "a TIFF picture, not a JPEG"),
        (b"words" * 9, "photo: not a JPEG"),
    ],
)
def test_what_is_not_taken_is_named(content: bytes, found: str) -> None:
    with pytest.raises(WrongType, match=found):
        check_photo(content, 10**6, 10**6)
