"""A request on a new connection, and one after a silent second, predicted and measured for every congestion control.

    python -m experiments.connection_states [--model mobilenetv2] [--bandwidth 57] [--latency 28] [--samples 7]
        [--control cubic,reno,bbr] [--keep-window] [--folder outputs/connection_states]

Real gRPC, real Triton, a real shaped link. For each congestion control that this host permits (found by trying) one
testbed. In random order: echoes of 10 kB to 1.6 MB and some real candidates, each on a connection of its own, then
each after a pause of one second; and between them what gives the constants of gRPC, Triton and the tiers: echoes of
other sizes on the warm connection, heads and tails run without the link. Theory gives the rest. Slow start after
idle is on, which is Linux' default and the harder case; `--keep-window` switches it off.

Each row is put on record in `experiments/records/connection_states.jsonl`; the table goes to the console and to
`connection_states.md` beside it. Ends with 1 if a median is off by more
than 5 %, or a congestion control was left out because this host does not permit it or the link is not as asked. It
takes some five minutes for each congestion control.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown, percent
from experiments.ledger import RECORDS, Ledger
from harness.cell.measuring import ECHO_BYTES
from harness.errors import CapabilityError, LinkError, SpecError
from harness.offloader.runner import ECHO_IDLE_MS, Request, Runner, anchor, echo, measure
from harness.prediction.calibration import calibrate
from harness.prediction.link_theory import State, downlink_ms, uplink_ms, window_segments
from harness.prediction.profile import Calibration
from harness.results.records import write_atomic
from harness.results.schema import REQUEST_IDLE_MS, Key, Sample
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed
from harness.transfer import layers, wire
from netem.link import LinkSpec

#: None of them is an echo that the constants come from.
SIZES = (10_000, 25_000, 50_000, 150_000, 300_000, 700_000, 1_600_000)
CANDIDATES = 3
PAUSE_MS = 1000.0
STATES: tuple[State, ...] = ("new", "idle")
#: The bar.
MAX_ERROR = 0.05
CONTROLS_FILE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@dataclass(frozen=True)
class Outcome:
    """One row of the table. Times in ms, errors (predicted - measured) / measured; window in segments, None if open."""

    control: str
    state: str
    request: str
    payload_bytes: int
    window: float | None
    predicted_ms: float
    measured_ms: float
    error: float
    uplink_predicted_ms: float
    uplink_measured_ms: float
    uplink_error: float
    samples: int


@dataclass(frozen=True)
class Constants:
    """What a warm request takes beside the link: from echoes and from runs without the link."""

    calibration: Calibration
    uplink_excess: tuple[float, float]
    queue: tuple[float, float]

    @classmethod
    def of(cls, calibration: Calibration) -> Constants:
        """Lines through the echoes of a calibration."""
        return cls(calibration, *(_line(calibration, term) for term in ("uplink_excess", "queue")))

    def rest_ms(self, link: LinkSpec, request: Request, payload_bytes: int) -> float:
        """Everything of a request but its uplink."""
        own = self.calibration
        tiers = own.anchors.get(request.name, {}) if request.kind == "measure" else {}
        queue = self.queue[0] + self.queue[1] * payload_bytes
        down = downlink_ms(link, own.response_bytes) + own.downlink_excess_ms
        return sum(tiers.values()) + queue + down + own.other_ms

    def uplink_ms(self, link: LinkSpec, payload_bytes: int, state: State, silence_ms: float) -> float:
        """The formula's, and what gRPC adds to it."""
        theory = uplink_ms(link, np.array([float(payload_bytes)]), state=state, silence_ms=silence_ms)
        return float(theory[0]) + self.uplink_excess[0] + self.uplink_excess[1] * payload_bytes


def _line(calibration: Calibration, term: str) -> tuple[float, float]:
    """(constant in ms, slope in ms per payload byte) of a term of the echoes."""
    sizes = sorted(calibration.echoes)
    slope, constant = np.polyfit(sizes, [calibration.echoes[size][term] for size in sizes], 1).tolist()
    return constant, slope


def outcome(
    link: LinkSpec, constants: Constants, request: Request, payload_bytes: int, samples: Sequence[Sample]
) -> Outcome:
    """Predicted against the median of the samples."""
    state: State = "new" if request.connection == "new" else "idle"
    rest_ms = constants.rest_ms(link, request, payload_bytes)
    silence_ms = rest_ms + request.pause_ms + (ECHO_IDLE_MS if request.kind == "echo" else REQUEST_IDLE_MS)
    up_ms = constants.uplink_ms(link, payload_bytes, state, silence_ms)
    window = window_segments(link, np.array([float(payload_bytes)]), state=state, silence_ms=silence_ms)
    measured_ms = median(sample.total_ms for sample in samples)
    uplink_ms = median(sample.terms["uplink"] for sample in samples)
    return Outcome(
        control=str(link.tcp.congestion_control),
        state=state,
        request=f"echo {request.name}" if request.kind == "echo" else request.name,
        payload_bytes=payload_bytes,
        window=float(window[0]) if np.isfinite(window[0]) else None,
        predicted_ms=up_ms + rest_ms,
        measured_ms=measured_ms,
        error=(up_ms + rest_ms) / measured_ms - 1,
        uplink_predicted_ms=up_ms,
        uplink_measured_ms=uplink_ms,
        uplink_error=up_ms / uplink_ms - 1,
        samples=len(samples),
    )


def run_control(spec: Spec, logs: Path, samples: int) -> Iterator[Outcome]:
    """All rows of one congestion control.

    Raises:
        CapabilityError: this host does not permit it.
        LinkError: the same, or the link is not the one asked for.
    """
    with LocalTestbed(spec, logs) as bed:
        bed.require(bed.probe())
        loaded = bed.load()
        runner = Runner(bed.agent, bed.trace, request_timeout_s=spec.measure.timeout_s)
        payloads = candidates(loaded["cuts"])
        runner.warm([echo(spec.link.tcp.warmup_bytes)] * spec.link.tcp.warmup_transfers)
        runner.warm([measure(key) for key in payloads] * 2)
        sizes = {echo(size).name: size for size in SIZES} | {str(key): size for key, size in payloads.items()}
        for state in STATES:
            judged = [echo(size, state, PAUSE_MS) for size in SIZES]
            judged += [measure(key, state, PAUSE_MS) for key in payloads]
            # The pause is for both: a core that slept computes slower.
            constant = [anchor(key, PAUSE_MS if state == "idle" else 0.0) for key in payloads]
            constant += [echo(size, restarts=True) for size in ECHO_BYTES]
            found: dict[Request, list[Sample]] = {request: [] for request in (*judged, *constant)}
            for request, sample in runner.rounds([*judged, *constant], samples, seed=spec.seed):
                found[request].append(sample)
            calibration = calibrate(
                {request.name: found[request] for request in constant if request.kind == "anchor"},
                {int(request.name): found[request] for request in constant if request.kind == "echo"},
                link=bed.link,
                slowdown=1.0,
                response_bytes=runner.response_bytes,
                fingerprint={},
            )
            for request in judged:
                yield outcome(bed.link, Constants.of(calibration), request, sizes[request.name], found[request])


def candidates(cuts: Sequence[Mapping[str, Any]]) -> dict[Key, int]:
    """Some splits, evenly spread over the cuts, through the transfer layer where it fits, and their payload bytes."""
    chosen: dict[Key, int] = {}
    for number in range(CANDIDATES):
        cut = cuts[(2 * number + 1) * len(cuts) // (2 * CANDIDATES)]
        shape = tuple(cut["shape"])
        for name in ("maxpool", "none"):
            try:
                payload = layers.get(name).payload_shape(shape)
            except SpecError:
                continue
            size = wire.get("float32").payload_bytes((1, *payload))
            if size is not None:
                chosen[Key("split", cut["index"], name)] = size
                break
    return chosen


def cell_spec(arguments: argparse.Namespace, control: str) -> Spec:
    """The cell of one congestion control."""
    overrides = [
        f"model={arguments.model}",
        "hardware=local",
        f"bandwidth={arguments.bandwidth}",
        f"latency={arguments.latency}",
        f"link.tcp.congestion_control={control}",
        f"link.tcp.slow_start_after_idle={str(not arguments.keep_window).lower()}",
    ]
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", overrides))


def table(outcomes: Sequence[Outcome]) -> str:
    """The rows in Markdown."""
    header = (
        "control", "connection", "request", "bytes", "window", "total ms: predicted", "measured", "error %",
        "uplink ms: predicted", "measured", "error %",
    )  # fmt: skip
    return markdown(
        header,
        [
            (
                row.control,
                row.state,
                row.request,
                str(row.payload_bytes),
                "open" if row.window is None else f"{row.window:.0f}",
                f"{row.predicted_ms:.1f}",
                f"{row.measured_ms:.1f}",
                percent(row.error, signed=True),
                f"{row.uplink_predicted_ms:.1f}",
                f"{row.uplink_measured_ms:.1f}",
                percent(row.uplink_error, signed=True),
            )
            for row in outcomes
        ],
    )


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line for each congestion control and state."""
    lines = []
    for control, state in dict.fromkeys((row.control, row.state) for row in outcomes):
        own = [row for row in outcomes if (row.control, row.state) == (control, state)]
        worst = max(own, key=lambda row: abs(row.error))
        held = sum(abs(row.error) <= MAX_ERROR for row in own)
        lines.append(
            f"{control}, {state}: {held} of {len(own)} within {MAX_ERROR:.0%}; worst {worst.error:+.1%} "
            f"({worst.request}); uplink worst {max(abs(row.uplink_error) for row in own):.1%}"
        )
    return "\n".join(lines) + "\n"


def record(arguments: argparse.Namespace, outcomes: Sequence[Outcome], records: Path = RECORDS) -> list[Outcome]:
    """Put rows on record, after each congestion control, so that a later failure loses none; all that are there of
    the same model, link and policy."""
    ledger = Ledger(records / "connection_states.jsonl")
    window = "keeps" if arguments.keep_window else "restarts"
    own = f"{arguments.model} {arguments.bandwidth:g} {arguments.latency:g} {window}"
    for row in outcomes:
        ledger.add(f"{own} {row.control} {row.state} {row.request}", asdict(row), arguments.folder)
    known = [Outcome(**found) for name, found in ledger.all().items() if name.startswith(f"{own} ")]
    title = (
        f"# A request on a new connection, and after a second of silence\n\n{arguments.model} over "
        f"{arguments.bandwidth:g} Mbit/s and {arguments.latency:g} ms; the window {window} after an idle second. "
        f"Measured on {'; '.join(ledger.hosts())}.\n\n"
    )
    text = title + table(known) + "\n" + summary(known)
    if arguments.keep_window:
        write_atomic(records / "connection_states-keep_window.md", text)
    else:
        ledger.publish(text)
    return known


def main() -> int:
    """0 where every median is near enough, 1 where one is not or a congestion control was left out."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.connection_states", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--model", default="mobilenetv2", help="of conf/model")
    parser.add_argument("--bandwidth", type=float, default=57.0, help="Mbit/s up")
    parser.add_argument("--latency", type=float, default=28.0, help="ms, round trip")
    parser.add_argument("--samples", type=int, default=7, help="requests a row")
    parser.add_argument("--control", help="comma-separated; default: all that this host permits")
    parser.add_argument("--keep-window", action="store_true", help="no slow start after idle")
    parser.add_argument("--folder", type=Path, default=PROJECT / "outputs" / "connection_states", help="of the logs")
    arguments = parser.parse_args()
    controls = arguments.control.split(",") if arguments.control else CONTROLS_FILE.read_text().split()
    known: list[Outcome] = []
    left_out = False
    for control in controls:
        try:
            outcomes = list(run_control(cell_spec(arguments, control), arguments.folder / "logs", arguments.samples))
        except (CapabilityError, LinkError) as error:
            print(f"{control}: left out: {error}", flush=True)
            left_out = True
            continue
        known = record(arguments, outcomes)
        print(summary(outcomes), end="", flush=True)
    print(table(known))
    return int(left_out or not known or any(abs(row.error) > MAX_ERROR for row in known))


if __name__ == "__main__":
    guarded(main)
