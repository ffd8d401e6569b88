"""Fixtures for the host's tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks so small that they lose time by sharing it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def commands_in() -> Callable[[str], list[list[str]]]:
    """Finds the ``fer-host`` command lines, each as its arguments, that a message puts in backticks."""
    return lambda message: [shlex.split(command)[1:] for command in re.findall(r"`(fer-host [^`]+)`", message)]
