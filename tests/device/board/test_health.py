"""Heat and alarms: the policy as tables, the pace with a scripted clock, the sensors from recorded trees."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_trees import BOARDS, unpack

from fer_edge.board.commands import recorded
from fer_edge.board.health import (
    FACTORS,
    Health,
    HealthMonitor,
    HealthSettings,
    Pacer,
    RatePolicy,
    alarms,
    describe,
)
from fer_edge.board.sensors import ThrottleFacts
from fer_edge.contract.errors import SchemaError

HOT, COOL, BETWEEN = Health(80.0), Health(60.0), Health(74.0)
ALARM = Health(60.0, "under-voltage")
NOTHING = Health()


@pytest.mark.parametrize(
    ("looks", "factors"),  # a look every 10 s
    [
        ([COOL] * 4, [1, 1, 1, 1]),
        ([NOTHING] * 3, [1, 1, 1]),  # no sensor: full rate
        ([HOT, HOT, HOT, HOT, HOT, HOT], [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]),  # a step at most every 15 s
        ([ALARM, ALARM, ALARM], [0.5, 0.5, 0.25]),
        ([HOT, BETWEEN, BETWEEN, BETWEEN, HOT], [0.5, 0.5, 0.5, 0.5, 0.25]),  # in between nothing changes
        ([HOT] + [BETWEEN] * 9, [0.5] * 10),
        ([HOT] + [COOL] * 8, [0.5] * 7 + [1, 1]),  # 60 s of being well
        ([HOT, *[COOL] * 5, BETWEEN, *[COOL] * 7], [0.5] * 13 + [1]),  # the 60 s begin anew
        ([HOT] * 3 + [COOL] * 14, [0.5, 0.5] + [0.25] * 7 + [0.5] * 6 + [1, 1]),  # back step by step
    ],
)
def test_the_rate(looks: list[Health], factors: list[float]) -> None:
    policy = RatePolicy(HealthSettings())
    assert [policy.decide(health, 10.0 * i) for i, health in enumerate(looks)] == factors


@given(st.lists(st.tuples(st.floats(30, 100), st.booleans(), st.floats(0.1, 100)), max_size=60))
def test_one_step_at_a_time_and_never_below_a_quarter(looks: list[tuple[float, bool, float]]) -> None:
    policy, now_s, before = RatePolicy(HealthSettings()), 0.0, 0
    for heat, alarm, later_s in looks:
        now_s += later_s
        step = FACTORS.index(policy.decide(Health(heat, "x" if alarm else None), now_s))
        assert abs(step - before) <= 1
        before = step


@pytest.mark.parametrize(
    "values", [{"hot_c": 60.0}, {"cool_c": 0.0}, {"hot_c": 200.0}, {"interval_s": 0.0}, {"faster_after_s": -1.0}]
)
def test_settings_that_make_no_sense(values: dict[str, float]) -> None:
    with pytest.raises(SchemaError):
        HealthSettings(**values)  # type: ignore[arg-type]


def run_paced(factors: list[float], busy_s: float, camera_s: float) -> list[float]:
    """Times at which frames are done: a camera every ``camera_s``, ``busy_s`` of work, and the pacer's wait."""
    pacer, now_s, done = Pacer(), 0.0, []
    for factor in factors:
        now_s = max(now_s, (now_s // camera_s + 1) * camera_s if camera_s else now_s) + busy_s
        done.append(now_s)
        now_s += pacer.wait_s(factor, now_s)
    return done


@pytest.mark.parametrize(("busy_s", "camera_s"), [(0.1, 0.0), (0.010, 1 / 30), (0.050, 1 / 30)])
def test_half_the_rate_is_half_the_rate(busy_s: float, camera_s: float) -> None:
    """Whatever limits the full rate: the processor or the camera."""
    done = run_paced([1.0] * 60 + [0.5] * 60 + [0.25] * 40 + [1.0] * 60, busy_s, camera_s)
    full, half, quarter, again = (
        (done[b] - done[a]) / (b - a) for a, b in ((20, 59), (80, 119), (130, 159), (180, 219))
    )
    assert half / full == pytest.approx(2, rel=0.2)
    assert quarter / full == pytest.approx(4, rel=0.2)
    assert again == pytest.approx(full, rel=0.05)


def test_a_pause_is_no_rate() -> None:
    pacer = Pacer()
    for i in range(50):
        pacer.wait_s(1.0, i * 0.1)
    pacer.forget()
    assert pacer.wait_s(0.5, 1000.0) == 0
    assert pacer.wait_s(0.5, 1000.1) == pytest.approx(0.1, rel=0.01)


def test_alarms_are_those_of_this_moment() -> None:
    def facts(flags: int | None, alarm: bool | None = None, counts: dict[str, int] | None = None) -> ThrottleFacts:
        return ThrottleFacts(flags, "", alarm, counts or {}, "")

    assert alarms(facts(None), None) is None
    assert alarms(facts(0x50000), None) is None  # it was, since the start; it is not now
    assert alarms(facts(0x50005), None) == "under-voltage, throttled"
    assert alarms(facts(0x8), None) == "soft temperature limit"
    assert alarms(facts(None, True), None) == "under-voltage"
    assert alarms(facts(None, None, {"oc1": 3}), None) is None  # the first look knows no earlier one
    assert alarms(facts(None, None, {"oc1": 3}), {"oc1": 3}) is None
    assert alarms(facts(None, None, {"oc1": 4}), {"oc1": 3}) == "over-current"


def set_zone(root: Path, milli_c: int) -> None:
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text(f"{milli_c}\n")


@pytest.mark.parametrize("name", BOARDS)
def test_recorded_boards(name: str, tmp_path: Path) -> None:
    root = unpack(name, tmp_path)
    monitor = HealthMonitor(HealthSettings(), root, recorded(root))
    health = monitor.look(0.0)
    assert health.temperature_c is None or 20 < health.temperature_c < 99
    assert health.tells_throttling == (name in ("pi3", "pi4", "pi5", "orin_nano_jp6"))
    assert (monitor.rate_factor == 1) == (health.throttled is None)
    set_zone(root, 95_000)
    monitor.look(100.0)
    assert monitor.rate_factor < 1
    (root / ".commands/vcgencmd get_throttled").unlink(missing_ok=True)
    alarm = next(iter((root / "sys/class/hwmon").glob("hwmon*/in0_lcrit_alarm")), None)
    if alarm is not None:
        alarm.write_text("0\n")
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        if (zone / "temp").is_file():  # a folder stands for a sensor that does not answer
            (zone / "temp").write_text("50000\n")
    for step in range(1, 4):
        monitor.look(100.0 + 100 * step)
    assert monitor.rate_factor == 1


def test_the_change_is_told_and_readings_resume_at_full_rate(tmp_path: Path) -> None:
    said: list[str] = []
    settings = HealthSettings(slower_after_s=0.01, faster_after_s=0.05, interval_s=0.01)
    set_zone(tmp_path, 85_000)
    monitor = HealthMonitor(settings, tmp_path, recorded(tmp_path))
    monitor.start(said.append)
    until = time.monotonic() + 10
    while monitor.rate_factor > 0.25 and time.monotonic() < until:
        time.sleep(0.01)
    set_zone(tmp_path, 50_000)
    while monitor.rate_factor < 1 and time.monotonic() < until:
        time.sleep(0.01)
    monitor.close()
    assert said[:2] == ["rate x 0.5 (hot, 85 °C)", "rate x 0.25 (hot, 85 °C)"]
    assert said[-1] == describe(Health(50.0), 1.0) == "rate x 1 (cool again, 50 °C)"


def test_switched_off() -> None:
    monitor = HealthMonitor(HealthSettings(enabled=False), Path("/nowhere"), recorded(Path("/nowhere")))
    monitor.look(0.0)
    assert monitor.rate_factor == 1
