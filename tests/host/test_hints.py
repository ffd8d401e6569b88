"""A wrong word gets the nearest right one, in both programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fer_edge.cli import main as edge
from fer_host.cli import main as host


@pytest.mark.parametrize(
    ("program", "line", "hint"),
    [
        (edge, "imgae x.jpg", "; did you mean image?"),
        (edge, "image x.jpg --anotate y", "; did you mean --annotate?"),
        (edge, "image --anotate=y", "; did you mean --annotate for --anotate?"),
        (edge, "run --sorce synthetic://", "; did you mean --source?"),
        (edge, "config chek", "; did you mean check?"),
        (edge, "image x.jpg --detector mtcn", "; did you mean mtcnn?"),
        (edge, "--verson", "; did you mean --version for --verson?"),
        (host, "convrt fer48", "; did you mean convert?"),
        (host, "convert fer48 --wieghts x", "; did you mean --weights?"),
        (host, "convert --wieghts x", "; did you mean --weights?"),
        (edge, "image", "required: PATH; see"),
        (edge, "image --json", "required: PATH; see"),
        (edge, "qqqq", "; see fer-edge --help"),
    ],
)
def test_the_nearest_is_named(
    program: Callable[[list[str]], int], line: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        program(line.split())
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert hint in said
    assert ("did you mean" in said) == ("did you mean" in hint)
