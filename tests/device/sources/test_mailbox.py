"""The mailbox between the capture thread and its reader: newest wins, nobody waits in vain, drops are counted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_edge.sources.mailbox import Closed, Mailbox


@pytest.fixture
def alarm() -> Iterator[None]:
    """Ends a test that waits for ever."""
    timer = threading.Timer(20, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


class Model:
    """What a mailbox should do, in one thread."""

    def __init__(self) -> None:
        self.slot: list[int] = []
        self.produced = self.consumed = 0
        self.failed = self.closed = False


@given(st.lists(st.sampled_from(["put", "get", "fail", "close"]), max_size=30))
def test_any_order_of_calls(calls: list[str]) -> None:
    box: Mailbox[int] = Mailbox()
    model, error = Model(), OSError("lost")
    for i, call in enumerate(calls):
        if call == "put":
            assert box.put(i) is not model.closed
            if not model.closed:
                model.slot, model.produced = [i], model.produced + 1
        elif call == "fail":
            box.fail(error)
            model.failed = True
        elif call == "close":
            box.close()
            model.closed = True
        elif model.closed:
            with pytest.raises(Closed):
                box.get(0)
        elif model.slot:
            assert box.get(0) == model.slot.pop()
            model.consumed += 1
        elif model.failed:
            with pytest.raises(OSError, match="lost"):
                box.get(0)
        else:
            with pytest.raises(TimeoutError, match="nothing came"):
                box.get(0.0001)
        assert box.closed is model.closed
        assert box.dropped == model.produced - model.consumed - (0 if model.closed else len(model.slot))


@given(st.integers(1, 400), st.integers(0, 3))
def test_two_threads(n: int, yield_every: int) -> None:
    """Whatever the scheduler does: numbers rise, the last one arrives, the count of drops is right, both ends end."""
    box: Mailbox[int] = Mailbox()

    def produce() -> None:
        for i in range(n):
            box.put(i)
            if yield_every and i % yield_every == 0:
                time.sleep(0)
        box.fail(EOFError("all produced"))

    thread = threading.Thread(target=produce)
    got: list[int] = []
    thread.start()
    with pytest.raises(EOFError):
        got.extend(iter(lambda: box.get(10), None))
    thread.join(10)
    assert not thread.is_alive()
    assert got == sorted(set(got))
    assert got[-1] == n - 1  # no lost wake-up: the newest always comes
    assert box.dropped == n - len(got)


def test_a_slow_reader_gets_the_newest() -> None:
    box: Mailbox[int] = Mailbox()
    for i in range(5):
        box.put(i)
    assert box.get(0) == 4
    assert box.dropped == 4
    with pytest.raises(TimeoutError):
        box.get(0.001)


def test_close_wakes_a_waiting_reader_of_another_thread() -> None:
    for _ in range(200):
        box: Mailbox[int] = Mailbox()
        thread = threading.Thread(target=box.close)
        thread.start()
        with pytest.raises(Closed):
            box.get(10)
        thread.join(10)


def test_close_comes_before_what_waits() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.close()
    assert box.dropped == 1
    assert box.put(2) is False
    with pytest.raises(Closed):
        box.get()
    with pytest.raises(Closed):  # and ever after, without waiting
        box.get()


@pytest.mark.usefixtures("alarm")
def test_close_in_a_signal_handler_at_any_moment() -> None:
    """The handler runs in the reader's own thread: before it waits, while it waits, or while it holds the lock.

    A wait without an end hung here within 4,500 closes (tried): see LONGEST_WAIT_S.
    """
    before = signal.getsignal(signal.SIGALRM)
    closed = 0
    try:
        for i in range(300):
            box: Mailbox[int] = Mailbox()
            signal.signal(signal.SIGALRM, lambda *_, box=box: box.close())  # type: ignore[misc]
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + (i % 100) * 2e-6)
            box.put(0)
            try:
                while True:
                    box.get()
                    box.put(1) if i % 2 else None  # a reader that is always busy, and one that waits
            except Closed:
                closed += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert closed == 300


def test_close_does_not_need_the_lock() -> None:
    """A handler that interrupts the holder of the lock would wait for ever for it."""
    box: Mailbox[int] = Mailbox()
    thread = threading.Thread(target=box.close, daemon=True)
    with box._lock:
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    with pytest.raises(Closed):
        box.get()
