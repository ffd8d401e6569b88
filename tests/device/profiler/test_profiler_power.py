"""Power probes on recorded trees of the real layouts; energy by hand; a probe that is pulled out leaves a gap."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import recorded_trees

from fer_edge.board.commands import recorded
from fer_edge.errors import UsageError
from fer_edge.profiler.power import find_probe
from fer_edge.profiler.power.energy import Sample, integrate
from fer_edge.profiler.power.meter import align, read_meter
from fer_edge.profiler.power.pi5 import rails_w
from fer_edge.profiler.power.rapl import RaplProbe
from fer_edge.profiler.sampler import Sampler, signal

PI5_W = (
    0.06245952 * 3.306322
    + 0.1610285 * 1.798289
    + 0.00780744 * 1.102929
    + 0.1756674 * 1.104394
    + 0.3279125 * 0.8025633
    + 2.5 * 0.8974594
    + 0.0003663 * 3.304942
    + 0.00042735 * 3.302194
    + 0.00579975 * 0.7973619
    + 0.0136752 * 5.07056
)
EXPECTED = {
    # tree: (W, part of the name, part of the coverage); worked out by hand from the files
    "pi5": (PI5_W, "pi5-pmic-rails (partial)", "partial"),
    "nano_jp4": (4.944 * 0.520, "ina3221 6-0040", "whole module (POM_5V_IN)"),
    "orin_nano_jp5": (4.952 * 1.216, "ina3221 1-0040", "whole module (VDD_IN)"),
    "agx_orin_jp6": (
        19.128 * 0.112 + 19.128 * 0.040 + 5.0 * 0.680 + 5.0 * 0.140,
        "1-0040 + ina3221 1-0041",
        "partial: the rails VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0, VDDQ_VDD2_1V8AO",
    ),
    "thor_ina238": (29.7, "ina238 (hwmon2)", "the line VIN"),
    "pi4_ina219": (3.266, "ina219 (hwmon10)", "shunt 100 mOhm"),
    "pi4_ina226": (5.0 * 0.7, "ina226 (hwmon2)", "shunt 10 mOhm"),
    "pi4_ina260": (3.11, "ina260 (hwmon2)", "whatever line"),
}
ABSENT = {
    "pi4": "no power sensor",
    "pc_rapl_not_root": "cannot be read",
}


def test_every_tree_is_tested_and_says_its_source() -> None:
    folder = recorded_trees.TREES / "power"
    assert {path.name for path in folder.iterdir()} == {*EXPECTED, *ABSENT, "pc_rapl"}
    for path in folder.iterdir():
        assert (path / "SOURCE").read_text().strip()


@pytest.mark.parametrize("name", EXPECTED)
def test_probe(name: str, tmp_path: Path) -> None:
    root = recorded_trees.unpack(f"power/{name}", tmp_path)
    watt, words, coverage = EXPECTED[name]
    found = find_probe(root, recorded(root))
    assert found.probe is not None, found.note
    assert found.probe.read_w() == pytest.approx(watt, rel=1e-6)
    assert words in found.probe.name
    assert coverage in found.probe.coverage


@pytest.mark.parametrize("name", ABSENT)
def test_absent_means_absent(name: str, tmp_path: Path) -> None:
    root = recorded_trees.unpack(f"power/{name}", tmp_path)
    found = find_probe(root, recorded(root))
    assert found.probe is None
    assert ABSENT[name] in found.note


def test_nothing_at_all(tmp_path: Path) -> None:
    found = find_probe(tmp_path, recorded(tmp_path))
    assert found.probe is None
    assert "no power sensor" in found.note


@pytest.mark.parametrize("text", ["", "error=2", "VDD_CORE_A current(7)=1.0A", "EXT5V_V volt(24)=5.0V"])
def test_rails_without_a_pair_are_no_power(text: str) -> None:
    assert rails_w(text) is None


def test_one_rail_without_an_answer_leaves_no_sum(tmp_path: Path) -> None:
    root = recorded_trees.unpack("power/agx_orin_jp6", tmp_path)
    probe = find_probe(root, recorded(root)).probe
    assert probe is not None
    (root / "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4/curr2_input").unlink()
    assert probe.read_w() is None


def test_rapl_counts_packages_once_and_wraps(tmp_path: Path) -> None:
    root = recorded_trees.unpack("power/pc_rapl", tmp_path)
    zone = root / "sys/class/powercap/intel-rapl:0"
    now = [10.0]
    found = find_probe(root, recorded(root)).probe
    assert found is not None
    assert found.name == "rapl package-0"  # not its core, not psys, which holds it
    probe = RaplProbe((zone,), lambda: now[0])
    now[0] = 12.0
    (zone / "energy_uj").write_text("7000000")
    assert probe.read_w() == pytest.approx(3.0)
    now[0] = 13.0
    (zone / "energy_uj").write_text("1000000")  # wrapped: 262143.32885 J in all
    assert probe.read_w() == pytest.approx(262143.32885 - 6.0)
    (zone / "energy_uj").unlink()
    now[0] = 14.0
    assert probe.read_w() is None
    (zone / "energy_uj").write_text("2000000")
    now[0] = 15.0
    assert probe.read_w() is None  # what it took since 13.0 is unknown
    (zone / "energy_uj").write_text("4500000")
    now[0] = 16.0
    assert probe.read_w() == pytest.approx(2.5)


def test_a_probe_pulled_out_leaves_a_gap_and_no_number(tmp_path: Path) -> None:
    """The sampler runs for real; the sensor's folder goes away in the middle and comes back."""
    root = recorded_trees.unpack("power/pi4_ina219", tmp_path / "tree")
    probe = find_probe(root, recorded(root)).probe
    folder = root / "sys/class/hwmon/hwmon10"
    with Sampler(probe, root) as sampler:
        start = time.monotonic()
        time.sleep(1.0)
        shutil.move(folder, tmp_path / "away")
        out = time.monotonic()
        time.sleep(0.7)
        shutil.move(tmp_path / "away", folder)
        back = time.monotonic()
        time.sleep(1.0)
        end = time.monotonic()
    energy = integrate(sampler.power, start, end)
    assert energy is not None
    (gap,) = energy.gaps
    assert gap[0] == pytest.approx(out, abs=0.3)
    assert gap[1] == pytest.approx(back, abs=0.3)
    assert energy.mean_w == pytest.approx(3.266)  # not dragged towards zero, no stale value carried on
    assert energy.covered_s < end - start - 0.5
    drawn = signal("W", sampler.power, start, energy.gaps)
    assert drawn is not None
    assert not [t for t in drawn.t_s if gap[0] - start + 0.01 < t < gap[1] - start - 0.01]
    assert drawn.gaps


def test_trapezoid_by_hand() -> None:
    ramp = [Sample(float(t), 2.0 * t) for t in range(5)]
    energy = integrate(ramp, 0.5, 3.5)
    assert energy is not None
    assert energy.joule == pytest.approx(3.5**2 - 0.5**2)  # integral of 2 t
    assert energy.gaps == ()
    assert integrate(ramp, 0.0, 20.0) is None  # a fifth of the time says nothing about the rest
    assert integrate([], 0.0, 1.0) is None


def test_samples_that_stop_coming_are_a_gap() -> None:
    samples = [Sample(t / 10, 1.0) for t in range(11)] + [Sample(2 + t / 10, 1.0) for t in range(11)]
    energy = integrate(samples, 0.0, 3.0)
    assert energy is not None
    assert energy.joule == pytest.approx(2.0)
    assert energy.gaps == (pytest.approx((1.0, 2.0)),)


METERS = {
    "Time(s),Voltage(V),Current(A)": lambda t, w: f"{t:.1f},5.0,{w / 5:.4f}",
    "t;V;mA": lambda t, w: f"{t:.1f};5.0;{w / 5 * 1000:.1f}",
    "timestamp_ms,power_W": lambda t, w: f"{t * 1000:.0f},{w:.3f}",
    "Time [ms]\tVBUS [V]\tIBUS [A]": lambda t, w: f"{t * 1000:.0f}\t5.0\t{w / 5:.4f}",
}


@pytest.mark.parametrize("header", METERS)
def test_meter_is_aligned_by_the_step_in_the_load(header: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    rows = [METERS[header](100 + t / 10, 2.0 if t < 50 else 4.0) for t in range(150)]
    path.write_text("\n".join([header, *rows]) + "\n")
    samples = align(read_meter(path), 1000.0)
    load, idle = integrate(samples, 1001.0, 1008.0), integrate(samples, 996.0, 999.0)
    assert load is not None
    assert idle is not None
    assert load.mean_w == pytest.approx(4.0, rel=1e-3)
    assert idle.mean_w == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "expected time, and power or voltage and current"),
        ("time,power\n1,2\n2,x\n", ":3: found"),
        ("time,power\n2,1\n1,1\n", "times rising"),
    ],
)
def test_a_file_that_is_no_meter(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_meter(path)


def test_a_meter_without_a_rise() -> None:
    with pytest.raises(UsageError, match="never rises"):
        align([Sample(float(t), 5.0 - t) for t in range(5)], 0.0)
