"""Judges the board, its memory, heat, power and clock. Pure: facts in, findings out."""

from __future__ import annotations

from fer_edge.board.identify import Board, Cpu, L4t
from fer_edge.board.sensors import ThermalFacts, ThrottleFacts
from fer_edge.doctor.facts import ClockFacts, GovernorFacts, MemoryFacts, UserFacts
from fer_edge.doctor.finding import Finding, fail, ok, warn
from fer_edge.doctor.remedies import remedy

# Peak RSS of `fer-edge run` on x86-64 is 86 MB with int8 and 99 MB with float32 (bench says it of a board); a camera's
# buffers come on top.
RUN_BYTES = 120_000_000
CMA_BYTES = 64 * 1024 * 1024  # four 1080p YUV420 buffers take 12 MB, a sensor's raw ones up to 48 MB
HOT_C = 80.0  # a Raspberry Pi slows down from 80 °C, at 85 °C hard; a Jetson Orin from 99 °C
HOT_3B_PLUS_C = 60.0  # its firmware's soft limit
OLDEST_YEAR = 2025  # before this fer-edge did not exist: the clock was never set
_FLAGS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_EVER = 16  # the same four bits, since the board started
_FAST_ENOUGH = ("schedutil", "ondemand", "performance")
# These drivers' "powersave" follows the load like ondemand: Linux Documentation/admin-guide/pm/intel_pstate.rst
_DYNAMIC_POWERSAVE = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")


def judge_board(board: Board, kernel: str, l4t: L4t | None) -> Finding:
    """Names the machine; an unknown one is no problem, JetPack 4 and 5 are."""
    found = f"{board.model}, Linux {kernel}"
    if board.soc:
        found += f", {board.soc}"
    if not board.is_known and board.family != "pc":
        found += " (unknown board: works all the same)"
    if l4t is None:
        return ok("board", found)
    if l4t.jetpack in ("4", "5"):
        return warn("board", f"{found}, {l4t}", remedy("jetpack-6", jetpack=l4t.jetpack))
    return ok("board", f"{found}, {l4t}" + ("" if l4t.jetpack else ", a release unknown here"))


def judge_cpu(cpu: Cpu) -> Finding:
    """Says what int8 is worth here."""
    if cpu.has_dot_products:
        return ok("cpu", f"{cpu.n_cores} x {cpu.name}, int8 dot products: int8 should be fastest")
    return ok("cpu", f"{cpu.n_cores} x {cpu.name}, no int8 dot products: int8 may gain little, `fer-edge bench` tells")


def judge_memory(memory: MemoryFacts) -> Finding:
    """Enough for a run?"""
    kind = " (zram)" if memory.has_zram else ""
    swap = f"swap {_mb(memory.swap_free_bytes)} of {_mb(memory.swap_total_bytes)} free{kind}"
    found = f"{_mb(memory.available_bytes)} of {_mb(memory.total_bytes)} available, {swap}"
    if not memory.swap_total_bytes:
        found = found.replace(swap, "no swap")
    if memory.has_memory_cgroup is False:
        found += ", memory cgroup off (a service's MemoryMax has no effect)"
    needed = f"; a run needs about {_mb(RUN_BYTES)}"
    if memory.available_bytes + memory.swap_free_bytes < RUN_BYTES:
        return fail("memory", found + needed, remedy("free-memory"))
    if memory.available_bytes < RUN_BYTES:
        return warn("memory", found + needed, remedy("free-memory"))
    return ok("memory", found)


def judge_cma(memory: MemoryFacts, board: Board) -> Finding | None:
    """Contiguous memory matters to a Raspberry Pi's CSI camera; that little is free is normal, the kernel lends it."""
    if board.family != "raspberry-pi" or memory.cma_total_bytes is None:
        return None
    found = f"{_mb(memory.cma_total_bytes)}, {_mb(memory.cma_free_bytes or 0)} free"
    if memory.cma_total_bytes < CMA_BYTES:
        return warn("cma", f"{found}; expected {_mb(CMA_BYTES)} or more", remedy("cma"))
    return ok("cma", found)


def judge_temperature(thermal: ThermalFacts, board: Board) -> Finding:
    """Judged is the hottest zone."""
    left_out = f" (left out: {', '.join(thermal.left_out)})" if thermal.left_out else ""
    if not thermal.zones_c:
        return ok("temperature", "no sensor here" + left_out)
    name, hottest = max(thermal.zones_c.items(), key=lambda zone: zone[1])
    limit = HOT_3B_PLUS_C if "3 Model B Plus" in board.model else HOT_C
    found = f"{hottest:.0f} °C ({name})" + left_out
    if hottest >= limit:
        return warn("temperature", f"{found}; boards slow down from {limit:.0f} °C", remedy("cool"))
    return ok("temperature", found)


def judge_throttling(throttle: ThrottleFacts, user: UserFacts, board: Board) -> Finding | None:
    """What the firmware has done now and since the start: power before heat, for it is the commoner cause."""
    mode = [f"power mode {throttle.power_mode}"] if throttle.power_mode else []
    counts = [f"over-current {name}: {n} since the start" for name, n in throttle.over_current_counts.items() if n]
    alarm = ["under-voltage alarm of the kernel"] if throttle.under_voltage_alarm else []
    flags = _flag_texts(throttle.flags or 0)
    found = ", ".join(flags + alarm + counts + mode)
    if any("under-voltage" in text for text in flags) or alarm or counts:
        return warn("throttling", found, remedy("power-supply"))
    if flags:
        return warn("throttling", found, remedy("cool"))
    if throttle.flags is None and throttle.flags_problem and board.family == "raspberry-pi":
        return warn("throttling", f"vcgencmd: {throttle.flags_problem}", _how_to_ask_firmware(user))
    if throttle.flags is None and throttle.under_voltage_alarm is None and not throttle.over_current_counts:
        return ok("throttling", found or "no sensor here") if board.family != "pc" or found else None
    return ok("throttling", ", ".join(["none now, none since the start" if throttle.flags == 0 else "none", *mode]))


def _how_to_ask_firmware(user: UserFacts) -> str:
    """Vcgencmd needs /dev/vcio, which the group video may open."""
    if user.is_root or "video" in user.groups:
        return remedy("report")
    return remedy("relogin") if "video" in user.granted else remedy("usermod", groups="video")


def _flag_texts(flags: int) -> list[str]:
    now = [text for bit, text in _FLAGS.items() if flags >> bit & 1]
    ever = [text for bit, text in _FLAGS.items() if flags >> (bit + _EVER) & 1 and text not in now]
    return [f"{text} now" for text in now] + [f"{text} since the start" for text in ever]


def judge_governor(governor: GovernorFacts) -> Finding | None:
    """Only a governor that holds the clock at its lowest is a problem."""
    if governor.name == "unknown":
        return None
    if governor.name != "powersave" or governor.driver in _DYNAMIC_POWERSAVE:
        return ok("governor", governor.name + (f" ({governor.driver})" if governor.driver else ""))
    better = next((name for name in _FAST_ENOUGH if name in governor.available), "ondemand")
    return warn("governor", "powersave: the CPU stays at its lowest clock", remedy("governor", governor=better))


def judge_clock(clock: ClockFacts) -> Finding:
    """A board without a battery starts in the past: readings get wrong times, TLS refuses certificates."""
    found = f"{clock.now:%Y-%m-%d %H:%M %Z}"
    if clock.now.year < OLDEST_YEAR:
        return warn("clock", f"{found}: not set", remedy("set-clock"))
    return ok("clock", found)


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
