"""One reader in many threads: every answer the same as alone. FER_LONG_TESTS=1 reads 2,000 pictures."""

from __future__ import annotations

import itertools
import os
import threading

import numpy as np
import pytest

import fer_edge
from fer_edge.errors import RunnerError
from fer_edge.library.lending import Lender
from fer_edge.types import RgbImage

N_THREADS, N_PICTURES = 8, 2000 if os.environ.get("FER_LONG_TESTS") else 24
WAIT_S = 600.0 if os.environ.get("FER_LONG_TESTS") else 120.0


def test_eight_threads_read_what_one_reads(reader: fer_edge.Reader, astronaut: RgbImage) -> None:
    """Pictures of different sizes and different faces, by path and by own boxes, while others follow a video."""
    pictures = [np.ascontiguousarray(np.roll(astronaut, 9 * i, axis=1)[: 300 + 20 * i]) for i in range(6)]
    box = (165.0, 60.0, 120.0, 120.0)
    alone = [(reader.read(picture).faces, reader.read(picture, faces=[box]).faces) for picture in pictures]
    crops = reader.read_crops(pictures)
    video = [reading.faces for reading in reader.follow(fer_edge.Frame(p, i, i / 10) for i, p in enumerate(pictures))]
    assert len({repr(answer) for answer in alone}) > 1
    turns, wrong, errors = itertools.count(), [], []

    def work() -> None:
        try:
            while (turn := next(turns)) < N_PICTURES:
                i = turn % len(pictures)
                if (reader.read(pictures[i]).faces, reader.read(pictures[i], faces=[box]).faces) != alone[i]:
                    wrong.append(i)
                if turn % 16 == 3 and reader.read_crops(pictures) != crops:
                    wrong.append(-1)
                if turn % 16 == 5:
                    frames = (fer_edge.Frame(p, i, i / 10) for i, p in enumerate(pictures))
                    if [reading.faces for reading in reader.follow(frames)] != video:
                        wrong.append(-2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)
    assert (errors, wrong) == ([], [])


def test_no_more_are_made_than_allowed_and_each_is_one_thread_s() -> None:
    made: dict[int, object] = {}

    def make(n_before: int) -> object:
        assert n_before not in made
        made[n_before] = object()
        return made[n_before]

    lender = Lender(make, most=2, kept=2)
    inside, most_inside, lock = 0, 0, threading.Lock()
    held: set[int] = set()

    def work() -> None:
        nonlocal inside, most_inside
        for _ in range(50):
            with lender.lend() as thing:
                with lock:
                    assert id(thing) not in held
                    held.add(id(thing))
                    inside += 1
                    most_inside = max(most_inside, inside)
                with lock:
                    held.discard(id(thing))
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(made) <= 2
    assert most_inside <= 2
    with lender.lend() as thing:
        assert thing is made[0]


def test_one_that_fails_comes_back_and_a_closed_lender_lends_none() -> None:
    lender = Lender(lambda _: object(), most=1, kept=1)
    with pytest.raises(ZeroDivisionError), lender.lend() as first:
        raise ZeroDivisionError
    with lender.lend() as second:
        assert second is first
        lender.close()
    with pytest.raises(RunnerError, match="closed"), lender.lend():
        pass
