"""Links that change while they are used: traces read, generated, and replayed in place.

A trace is a list of steps, each in force from its time on. The two formats that are read:

- **mahimahi**: one whole number a line, the millisecond at which the link may carry one packet of 1,504 bytes.
  Counted in windows of ``WINDOW_MS``; loss and delay stay those of the link.
- **CSV** with the header ``t_s,rate_mbps`` and optionally ``delay_ms`` (one way) and ``loss`` (a fraction).

Both speak of the uplink; delay and loss hold for it alone.
"""

import csv
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netem.errors import LinkSpecError, NetemError
from netem.link import DELAY_MS_RANGE, RATE_MBPS_RANGE, LinkSpec
from netem.namespaces import Sandbox

if TYPE_CHECKING:
    from netem.shaper import AppliedLink

WINDOW_MS = 100
PACKET_BYTES = 1504
"""mahimahi's: an Ethernet payload and four bytes of its TUN header."""

_COLUMNS = ("t_s", "rate_mbps", "delay_ms", "loss")


@dataclass(frozen=True)
class Step:
    """What the uplink is from ``t_s`` on; None leaves the link's own delay or loss."""

    t_s: float
    rate_mbps: float
    delay_ms: float | None = None
    loss: float | None = None

    def of(self, spec: LinkSpec) -> LinkSpec:
        """The link at this step."""
        impairments = spec.impairments_up
        if self.loss is not None:
            impairments = replace(impairments, loss=self.loss)
        return replace(
            spec,
            rate_up_mbps=self.rate_mbps,
            delay_up_ms=spec.delay_up_ms if self.delay_ms is None else self.delay_ms,
            impairments_up=impairments,
        )


@dataclass(frozen=True)
class Trace:
    """Steps in order of time, the first at 0, and the time at which the trace ends.

    Raises:
        LinkSpecError: no steps, or times that do not rise.
    """

    steps: tuple[Step, ...]
    duration_s: float

    def __post_init__(self) -> None:
        """Check the order (see the class)."""
        times = [step.t_s for step in self.steps]
        rising = all(before < after for before, after in pairwise([*times, self.duration_s]))
        if not times or times[0] != 0 or not rising:
            raise LinkSpecError("a trace needs steps from t_s 0 on whose times rise: sort it and begin at 0")

    @staticmethod
    def read(path: str | Path) -> "Trace":
        """Read a trace of either format (see the module).

        Raises:
            LinkSpecError: the file cannot be read, or a line is neither.
        """
        try:
            lines = [line.strip() for line in Path(path).read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise LinkSpecError(f"trace {path} cannot be read: {error}; give a mahimahi trace or a CSV") from error
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise LinkSpecError(f"trace {path} is empty: give a mahimahi trace or a CSV")
        return _from_csv(path, lines) if lines[0].startswith("t_s") else _from_mahimahi(path, lines)

    def write(self, path: str | Path) -> None:
        """Write it as a CSV that ``read`` takes."""
        rows = [
            ",".join("" if (value := getattr(step, name)) is None else f"{value:.6g}" for name in _COLUMNS)
            for step in self.steps
        ]
        Path(path).write_text("\n".join([",".join(_COLUMNS), *rows]) + "\n")

    @property
    def mean_rate_mbps(self) -> float:
        """Over the whole duration."""
        ends = [*[step.t_s for step in self.steps[1:]], self.duration_s]
        carried = sum(step.rate_mbps * (end - step.t_s) for step, end in zip(self.steps, ends, strict=True))
        return carried / self.duration_s


def cellular_uplink(duration_s: float, seed: int, *, step_s: float = 0.1, delay_ms: float = 14.0) -> Trace:
    """A 5G-like uplink: a rate that wanders between 30 and 60 Mbit/s, and handovers now and then.

    The rate follows a mean-reverting walk around 45 Mbit/s; a handover comes every 15 s on average, lasts 0.3 to
    0.8 s, leaves 2 to 8 Mbit/s and adds 20 ms of delay.

    Args:
        duration_s: length of the trace.
        seed: the same seed gives the same trace.
        step_s: time from step to step.
        delay_ms: one-way delay outside of handovers.
    """
    chance = random.Random(seed)
    steps: list[Step] = []
    rate_mbps, handover_until_s = 45.0, 0.0
    for index in range(max(1, round(duration_s / step_s))):
        t_s = round(index * step_s, 6)
        rate_mbps += 0.1 * (45.0 - rate_mbps) + chance.gauss(0, 3)
        rate_mbps = min(60.0, max(30.0, rate_mbps))
        if t_s >= handover_until_s and chance.random() < step_s / 15:
            handover_until_s = t_s + chance.uniform(0.3, 0.8)
        if t_s < handover_until_s:
            steps.append(Step(t_s, round(chance.uniform(2, 8), 3), delay_ms + 20))
        else:
            steps.append(Step(t_s, round(rate_mbps, 3), delay_ms))
    return Trace(tuple(steps), len(steps) * step_s)


class TraceReplay:
    """Changes an applied link in place, step by step on the monotonic clock, in a thread of its own.

    Args:
        sandbox, applied: the link; what is in force at the end stays.
        trace: to replay, from the moment of entering.
        loop: begin again at the end; otherwise the last step stays.

    Attributes:
        lateness_ms: of each step so far, from the time it was due to the time the kernel or relay had taken it.
    """

    def __init__(self, sandbox: Sandbox, applied: "AppliedLink", trace: Trace, *, loop: bool = False) -> None:
        """Prepare; nothing changes before ``__enter__``."""
        self.lateness_ms: list[float] = []
        self._sandbox, self._applied, self._trace, self._loop = sandbox, applied, trace, loop
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="netem-trace", daemon=True)

    def __enter__(self) -> "TraceReplay":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; raises NetemError if a step was not taken."""
        self._ended.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def as_dict(self) -> dict[str, Any]:
        """How many steps were taken and how late, as plain JSON types."""
        late = sorted(self.lateness_ms) or [0.0]
        return {
            "steps": len(self.lateness_ms),
            "lateness_p50_ms": late[len(late) // 2],
            "lateness_p99_ms": late[int(0.99 * (len(late) - 1))],
            "lateness_max_ms": late[-1],
        }

    def _run(self) -> None:
        from netem.shaper import change

        spec = self._applied.spec
        started_s = time.monotonic()
        try:
            if spec is None:
                raise LinkSpecError("this link was not applied from a spec: apply one to replay a trace on it")
            for due_s, step in self._schedule():
                if self._ended.wait(max(0.0, started_s + due_s - time.monotonic())):
                    return
                change(self._sandbox, self._applied, step.of(spec), read_back=False)
                self.lateness_ms.append((time.monotonic() - started_s - due_s) * 1e3)
        except NetemError as error:
            self._error = error

    def _schedule(self) -> Iterator[tuple[float, Step]]:
        begin_s = 0.0
        while True:
            for step in self._trace.steps:
                yield begin_s + step.t_s, step
            if not self._loop:
                return
            begin_s += self._trace.duration_s


def _from_csv(path: str | Path, lines: Sequence[str]) -> Trace:
    header = [name.strip() for name in lines[0].split(",")]
    if header[:2] != list(_COLUMNS[:2]) or not set(header) <= set(_COLUMNS):
        raise LinkSpecError(f"trace {path} has the columns {', '.join(header)}: allowed are {', '.join(_COLUMNS)}")
    steps = []
    for row in csv.DictReader(lines[1:], fieldnames=header):
        try:
            if None in row:
                raise ValueError("more fields than columns")
            values = {name: float(row[name]) for name in header if row[name] not in (None, "")}
            steps.append(Step(**values))
        except (TypeError, ValueError) as error:
            raise LinkSpecError(f"trace {path}: {row} is not a line of numbers ({error})") from error
        _check(path, steps[-1])
    gap_s = steps[-1].t_s - steps[-2].t_s if len(steps) > 1 else 1.0
    return Trace(tuple(steps), (steps[-1].t_s if steps else 0.0) + gap_s)


def _check(path: str | Path, step: Step) -> None:
    for name, value, (low, high) in (
        ("rate_mbps", step.rate_mbps, RATE_MBPS_RANGE),
        ("delay_ms", step.delay_ms, DELAY_MS_RANGE),
        ("loss", step.loss, (0.0, 1.0)),
    ):
        if value is not None and not low <= value <= high:
            raise LinkSpecError(f"trace {path}: {name} is {value:g} at {step.t_s:g} s: allowed is {low:g} to {high:g}")


def _from_mahimahi(path: str | Path, lines: Sequence[str]) -> Trace:
    times_ms: list[int] = []
    for line in lines:
        with suppress(ValueError):
            times_ms.append(int(line))
            continue
        raise LinkSpecError(
            f"trace {path}: {line[:40]!r} is no millisecond; allowed is one whole number a line, or a CSV"
        )
    if times_ms != sorted(times_ms) or times_ms[0] < 0:
        raise LinkSpecError(f"trace {path} has milliseconds that do not rise: sort it")
    packets = Counter(min(ms, times_ms[-1] - 1) // WINDOW_MS for ms in times_ms)  # a trace ends at its last line
    windows = max(1, -(-times_ms[-1] // WINDOW_MS))
    # A silent window is a link that carries next to nothing: the slowest rate there is.
    steps = [
        Step(
            index * WINDOW_MS / 1e3,
            max(RATE_MBPS_RANGE[0], packets[index] * PACKET_BYTES * 8 / (WINDOW_MS * 1e3)),
        )
        for index in range(windows)
    ]
    return Trace(tuple(steps), windows * WINDOW_MS / 1e3)
