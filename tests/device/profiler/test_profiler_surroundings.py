"""What disturbs a run, what memory is told, and what is remembered of a board."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import recorded_trees

from fer_edge.board.commands import recorded
from fer_edge.board.sensors import ThermalFacts, ThrottleFacts
from fer_edge.profiler import interference, memory
from fer_edge.profiler.measure import Plan, measure

QUIET = ThrottleFacts(0, "", None, {}, "")


def look(**changes: object) -> interference.Look:
    base = interference.Look(10.0, 0.0, 100.0, 5.0, QUIET, ThermalFacts({"cpu": 50.0}, ()), {"policy0": 1800.0}, 0)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({}, ()),
        ({"busy_s": 60.0, "total_s": 200.0, "own_s": 54.0}, ()),  # one busy second of a hundred was not ours
        ({"busy_s": 90.0, "total_s": 200.0, "own_s": 55.0}, ("other processes used 30% of the processors",)),
        ({"total_s": 200.0, "steal_s": 5.0}, ("host took 5%",)),
        ({"throttle": dataclasses.replace(QUIET, flags=0x4)}, ("throttled while measuring",)),
        ({"throttle": dataclasses.replace(QUIET, flags=0x20000)}, ("frequency capped occurred while measuring",)),
        ({"throttle": dataclasses.replace(QUIET, under_voltage_alarm=True)}, ("under-voltage",)),
        ({"throttle": dataclasses.replace(QUIET, over_current_counts={"oc3": 2})}, ("oc3 came 2 times",)),
        ({"clocks_mhz": {"policy0": 1500.0}}, ("clock of policy0 fell from 1800 to 1500 MHz",)),
        ({"thermal": ThermalFacts({"cpu": 70.0}, ())}, ("rose from 50 to 70 °C",)),
        ({"swapped_pages": 9}, ("9 pages",)),
    ],
)
def test_reasons(after: dict[str, object], words: tuple[str, ...]) -> None:
    reasons = interference.judge(look(), look(**after))
    assert len(reasons) == len(words), reasons
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


def test_an_old_sticky_bit_is_no_news() -> None:
    old = dataclasses.replace(QUIET, flags=0x50000)
    assert interference.judge(look(throttle=old), look(throttle=old)) == ()
    assert look(throttle=old).flags == "0x50000"
    assert look(throttle=dataclasses.replace(QUIET, flags=None)).flags == "unknown"


def test_the_lowest_clock_between_two_looks_counts() -> None:
    (reason,) = interference.judge(look(), look(), {"policy0": 600.0})
    assert "fell from 1800 to 600 MHz" in reason


def test_boards_are_read(tmp_path: Path) -> None:
    root = recorded_trees.unpack("pi5", tmp_path)
    (root / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq").write_text("2400000\n")
    seen = interference.look(root, recorded(root))
    assert seen.flags == "0x0"
    assert seen.hottest_c == pytest.approx(55.95)
    assert seen.clocks_mhz == {"policy0": 2400.0}
    assert interference.look(tmp_path / "bare", recorded(tmp_path)).hottest_c is None


def test_another_process_on_this_machine_is_noticed() -> None:
    """A real one, on every processor; only that it is named is tested, not how much it took."""
    code = "import time\nend = time.monotonic() + 8\nwhile time.monotonic() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.5)
        before = interference.look()
        time.sleep(1.5)
        reasons = interference.judge(before, interference.look())
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert any("other processes used" in reason or "host took" in reason for reason in reasons), reasons


def test_memory_of_a_recorded_board(tmp_path: Path) -> None:
    root = recorded_trees.unpack("pi5", tmp_path)
    (root / "proc/self").mkdir()
    (root / "proc/self/smaps_rollup").write_text("Rss: 9 kB\nPss:  48000 kB\nAnonymous:   40000 kB\n")
    (root / "proc/self/status").write_text("VmHWM:\t   54321 kB\n")
    found = memory.measure(7, 9, root)
    assert (found.pss_bytes, found.peak_rss_bytes) == (48000 * 1024, 54321 * 1024)
    assert found.cma_total_bytes == 65536 * 1024
    assert found.cma_used_bytes == (65536 - 54312) * 1024
    assert found.arena_bytes is None
    assert memory.own_bytes(root) == 40000 * 1024


def test_memory_that_is_taken_is_seen() -> None:
    before = memory.own_bytes()
    taken = bytearray(os.urandom(30 << 20))
    after = memory.own_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 25 << 20
    assert len(taken) == 30 << 20


class Clocked:
    """A workload with made-up timings."""

    headline = "x"

    def __init__(self, times: list[float]) -> None:
        self.times, self.n = times, 0

    def step(self) -> dict[str, float]:
        if self.n >= len(self.times):
            raise StopIteration
        self.n += 1
        return {"x": self.times[self.n - 1]} | ({"sometimes": 1.0} if self.n % 3 == 0 else {})


def test_two_workloads_take_turns_and_stay_pairs() -> None:
    a, b = measure([Clocked([1.0] * 5000), Clocked([2.0] * 5000)], Plan(n=100, warmup=20))
    assert (a.n, b.n) == (100, 100)
    assert a.warmup_n == b.warmup_n
    assert set(a.times("x")) == {1.0}
    assert set(b.times("x")) == {2.0}
    assert len(a.times("sometimes")) in (33, 34)
    assert a.ends_s[0] < b.ends_s[0] < a.ends_s[-1]


def test_who_goes_first_changes() -> None:
    """Else one of two would always run just after the other one's end, or always meet the later part of a drift."""
    order: list[str] = []

    class Named(Clocked):
        def __init__(self, name: str) -> None:
            super().__init__([1.0] * 500)
            self.name = name

        def step(self) -> dict[str, float]:
            if not order or order[-1] != self.name:
                order.append(self.name)
            return super().step()

    measure([Named("a"), Named("b")], Plan(n=40, warmup=2))
    assert "".join(order).startswith("abab")
    assert len(order) < 14  # a b, b a, a b …: two turns of one follow one another, 12 turns here, not 22


def test_a_workload_that_ends_cuts_the_other() -> None:
    a, b = measure([Clocked([1.0] * 5000), Clocked([2.0] * 50)], Plan(n=100, warmup=2))
    assert len(a.ends_s) == len(b.ends_s) == 50
    assert len(a.times("x")) == len(b.times("x"))


def test_given_repetitions_after_a_found_warmup() -> None:
    times = [50.0 - i for i in range(40)] + [10.0 + 0.1 * (i % 7) for i in range(5000)]
    (recording,) = measure([Clocked(times)], Plan(n=200))
    assert recording.n == 200
    assert recording.warmup_n >= 30
    assert max(recording.times("x")) < 15
