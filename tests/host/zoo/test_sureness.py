"""The picture of how sure a network is: what it is drawn from, and that it is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_host.zoo.sureness import Answers, plot_sureness, reliability


def test_each_bin_is_the_mean_of_its_answers() -> None:
    confidence = np.array([0.31, 0.33, 0.99, 0.95, 1.0], dtype=np.float32)
    correct = np.array([True, False, True, True, False])
    np.testing.assert_allclose(reliability(confidence, correct), [[0.32, 0.5], [0.98, 2 / 3]], atol=1e-6)
    assert reliability(confidence[:0], correct[:0]).shape == (0, 2)


def test_a_row_of_pictures_for_each_label_set(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 200).astype(np.float32)
    correct = random.uniform(0, 1, 200) < confidence
    sizes = []
    for n in (1, 2):
        answers = [Answers(f"set {i}", confidence, confidence**2, correct) for i in range(n)]
        plot_sureness(answers, tmp_path / "s.png", "a network")
        picture = (tmp_path / "s.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        sizes.append(int.from_bytes(picture[20:24], "big"))
    assert sizes[1] > 1.8 * sizes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]
