from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fer_host.train.batches import TrainSet

sys.path.insert(0, str(Path(__file__).parent))  # train_helpers.py, shared by this folder's tests


@pytest.fixture(scope="module")
def data() -> TrainSet:
    random = np.random.default_rng(0)
    bright = random.integers(0, 2, 64)
    images = (random.integers(0, 100, (64, 20, 20)) + 130 * bright[:, None, None]).astype(np.uint8)
    return TrainSet(images, np.eye(2, dtype=np.float32)[bright])
