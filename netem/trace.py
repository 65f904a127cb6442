"""Links that change while they are used: traces read, generated, and replayed in place.

A trace is a list of steps, each in force from its time on. The two formats that are read:

- **mahimahi**: one whole number a line, the millisecond at which the link may carry one packet of 1,504 bytes.
  Counted in windows of ``WINDOW_MS``; loss and delay stay those of the link.
- **CSV** with the header ``t_s,rate_mbps`` and optionally ``delay_ms`` (one way) and ``loss`` (a fraction).

Both speak of the uplink; delay and loss hold for it alone.
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netem.errors import LinkSpecError
from netem.link import LinkSpec
from netem.namespaces import Sandbox
from netem.trace_files import COLUMNS, read_rows

if TYPE_CHECKING:
    from netem.shaper import AppliedLink


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
        rows, duration_s = read_rows(path)
        try:
            return Trace(tuple(Step(**row) for row in rows), duration_s)
        except LinkSpecError as error:
            raise LinkSpecError(f"trace {path}: {error}") from error

    def write(self, path: str | Path) -> None:
        """Write it as a CSV that ``read`` takes."""
        rows = [
            ",".join("" if (value := getattr(step, name)) is None else f"{value:.6g}" for name in COLUMNS)
            for step in self.steps
        ]
        Path(path).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")

    @property
    def lengths_s(self) -> tuple[float, ...]:
        """How long each step is in force."""
        ends = (*(step.t_s for step in self.steps[1:]), self.duration_s)
        return tuple(end - step.t_s for step, end in zip(self.steps, ends, strict=True))

    @property
    def mean_rate_mbps(self) -> float:
        """Over the whole duration."""
        return self._mean([step.rate_mbps for step in self.steps])

    def mean(self, spec: LinkSpec) -> LinkSpec:
        """The link at the time-weighted means of rate, delay and loss; a step without one has the spec's."""
        points = [step.of(spec) for step in self.steps]
        step = Step(
            0.0,
            self.mean_rate_mbps,
            self._mean([point.delay_up_ms for point in points]),
            None
            if all(step.loss is None for step in self.steps)
            else self._mean([point.impairments_up.loss_rate for point in points]),
        )
        return step.of(spec)

    def _mean(self, values: list[float]) -> float:
        return sum(value * length for value, length in zip(values, self.lengths_s, strict=True)) / self.duration_s


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


@dataclass(frozen=True)
class AppliedStep:
    """A step that was put in force. Clock readings are CLOCK_MONOTONIC, in ns.

    Attributes:
        due_ns: when it was due.
        applied_ns: when the kernel or the relay had taken it.
        t_s: its time in the trace, the same in every round of a loop.
        rate_mbps, delay_ms, loss: what the uplink is from then on; the link's own where the trace has none.
    """

    due_ns: int
    applied_ns: int
    t_s: float
    rate_mbps: float
    delay_ms: float
    loss: float

    @property
    def lateness_ms(self) -> float:
        """From due to taken."""
        return (self.applied_ns - self.due_ns) / 1e6


class TraceReplay:
    """Changes an applied link in place, step by step on the monotonic clock, in a thread of its own.

    Args:
        sandbox, applied: the link; what is in force at the end stays.
        trace: to replay, from the moment of entering.
        loop: begin again at the end; otherwise the last step stays.
        base: the link whose delay and loss hold where the trace has none; None takes the applied one.

    Attributes:
        applied_steps: what was put in force so far, in order.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        applied: "AppliedLink",
        trace: Trace,
        *,
        loop: bool = False,
        base: LinkSpec | None = None,
    ) -> None:
        """Prepare; nothing changes before ``__enter__``."""
        self.applied_steps: list[AppliedStep] = []
        self._base = base or applied.spec
        self._sandbox, self._applied, self._trace, self._loop = sandbox, applied, trace, loop
        self._started_ns = 0
        self._ended_ns: int | None = None
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="netem-trace", daemon=True)

    def __enter__(self) -> "TraceReplay":
        """Begin."""
        self._started_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; raises NetemError if a step was not taken, and whatever else ended the replay before its time."""
        self._ended.set()
        self._thread.join()
        self._ended_ns = time.monotonic_ns()
        if self._error is not None and error is None:
            raise self._error

    @property
    def lateness_ms(self) -> list[float]:
        """Of each step so far, from the time it was due to the time the kernel or relay had taken it."""
        return [step.lateness_ms for step in self.applied_steps]

    def as_dict(self) -> dict[str, Any]:
        """How long it ran, how many steps were taken and how late, as plain JSON types."""
        late = sorted(self.lateness_ms) or [0.0]
        now_ns = self._ended_ns or time.monotonic_ns()
        lasted_s = (now_ns - self._started_ns) / 1e9 if self._started_ns else 0.0
        return {
            "started_ns": self._started_ns,
            "lasted_s": lasted_s,
            "duration_s": self._trace.duration_s,
            "loop": self._loop,
            "outlasted": not self._loop and lasted_s > self._trace.duration_s,
            "steps": len(self.applied_steps),
            "lateness_p50_ms": late[len(late) // 2],
            "lateness_p99_ms": late[int(0.99 * (len(late) - 1))],
            "lateness_max_ms": late[-1],
        }

    def write(self, path: str | Path) -> None:
        """Write what was put in force as a CSV: the columns are the attributes of ``AppliedStep``."""
        names = [field.name for field in fields(AppliedStep)]
        rows = [",".join(f"{value:.10g}" if isinstance(value, float) else str(value) for value in astuple(step))
                for step in self.applied_steps]  # fmt: skip
        Path(path).write_text("\n".join([",".join(names), *rows]) + "\n")

    def _run(self) -> None:
        from netem.shaper import change

        try:
            if self._base is None:
                raise LinkSpecError("this link was not applied from a spec: apply one to replay a trace on it")
            for due_ns, step in self._schedule():
                if self._ended.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9)):
                    return
                point = step.of(self._base)
                change(self._sandbox, self._applied, point, read_back=False)
                self.applied_steps.append(
                    AppliedStep(
                        due_ns,
                        time.monotonic_ns(),
                        step.t_s,
                        point.rate_up_mbps,
                        point.delay_up_ms,
                        point.impairments_up.loss_rate,
                    )
                )
        except Exception as error:  # whatever ends the replay is raised where it is left, not lost with the thread
            self._error = error

    def _schedule(self) -> Iterator[tuple[int, Step]]:
        begin_s = 0.0
        while True:
            for step in self._trace.steps:
                yield self._started_ns + round((begin_s + step.t_s) * 1e9), step
            if not self._loop:
                return
            begin_s += self._trace.duration_s
