"""Do the terms `uplink` and `downlink` say what passed on the wire? Packet captures at both ends say it from outside.

    python -m experiments.witness [--rounds 8] [--out FOLDER] [OVERRIDE ...]

Runs requests of several sizes over a shaped link to a real Triton, captures every TCP segment in both network
namespaces, finds each request and response by HTTP/2's own frames, and prints, for each candidate, the term beside the
wire's own time: from the first segment that left one end to the last that came to the other. What a term has more is
spent inside the two ends, and is shown: from handing a message to gRPC to its first segment (`before`), and from its
last segment to its being complete (`after`). Writes `witness.csv` (one request a line) and `witness.md` (the table).
Exits with 1 where a clock reading of a term and its segment are more than half a millisecond apart, by the median over
a candidate's requests.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from hydra import compose, initialize_config_dir

from experiments.cells import guarded
from harness.errors import HarnessError
from harness.offloader.runner import Request, Runner, echo, measure
from harness.results.schema import DEVICE_TERMS, Key, Sample
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed
from harness.testbed.witness import Passage, passages
from netem.capture import Capture, Segment

#: The bar.
TOLERANCE_MS = 0.5
ECHO_BYTES = (2_000, 10_000, 40_000, 100_000, 400_000, 800_000, 1_600_000)
#: MobileNetV2's cuts with payloads of 25 kB to 1.2 MB; other models take those that they have.
SPLITS = (7, 35, 80, 150)
#: Acknowledgements and control frames of the last request have passed by then.
_SETTLED_S = 0.2
_WARM_ROUNDS = 3


@dataclass(frozen=True)
class Witnessed:
    """One request: its terms, and what the wire says. All in ms.

    name: the candidate, or the payload bytes of an echo.
    wire_bytes: of the request, framing and all.
    uplink_ms, downlink_ms: the terms.
    wire_up_ms, wire_down_ms: from first departure to last arrival.
    before_up_ms, before_down_ms: from the term's begin (handed to gRPC) until the first segment left.
    after_up_ms, after_down_ms: from the last segment's arrival until the term's end (complete; parsed).
    """

    name: str
    wire_bytes: int
    uplink_ms: float
    wire_up_ms: float
    before_up_ms: float
    after_up_ms: float
    downlink_ms: float
    wire_down_ms: float
    before_down_ms: float
    after_down_ms: float


#: Where a term's own clock reading and a segment's are held against each other.
ENDS = ("before_up_ms", "after_up_ms", "before_down_ms", "after_down_ms")


def observe(bed: LocalTestbed, runner: Runner, requests: Sequence[Request], rounds: int) -> Iterator[Witnessed]:
    """Run the requests `rounds` times in changing order, captured at both ends.

    Raises:
        HarnessError: a request failed, or the captures do not show it.
    """
    interfaces = bed.applied.interfaces
    with (
        Capture(bed.sandbox, "device", interfaces["device"]) as device,
        Capture(bed.sandbox, "edge", interfaces["edge"]) as edge,
    ):
        for number in range(rounds):
            device.segments()
            edge.segments()
            done = list(runner.rounds(requests, 1, seed=number, paced=False))
            time.sleep(_SETTLED_S)
            yield from _joined(done, device.segments(), edge.segments())


def _joined(
    done: Sequence[tuple[Request, Sample]], device: Sequence[Segment], edge: Sequence[Segment]
) -> Iterator[Witnessed]:
    sent = [(request, sample) for request, sample in done if "uplink" in sample.terms]
    up = passages([s for s in device if s.outgoing], [s for s in edge if not s.outgoing])
    down = passages([s for s in edge if s.outgoing], [s for s in device if not s.outgoing])
    if not len(sent) == len(up) == len(down):
        raise HarnessError(f"{len(sent)} requests were sent, but {len(up)} requests and {len(down)} responses passed")
    for (request, sample), request_passage, response_passage in zip(sent, up, down, strict=True):
        yield _witnessed(request.name, sample, request_passage, response_passage)


def _witnessed(name: str, sample: Sample, up: Passage, down: Passage) -> Witnessed:
    terms = sample.terms
    started_ns = sample.started_ns or 0
    handed_ns = started_ns + 1e6 * sum(terms.get(term, 0.0) for term in DEVICE_TERMS)
    parsed_ns = started_ns + 1e6 * sample.total_ms
    complete_ns = handed_ns + 1e6 * terms["uplink"]
    return Witnessed(
        name=name,
        wire_bytes=up.wire_bytes,
        uplink_ms=terms["uplink"],
        wire_up_ms=up.took_ms,
        before_up_ms=(up.departed_ns - handed_ns) / 1e6,
        after_up_ms=(complete_ns - up.arrived_ns) / 1e6,
        downlink_ms=terms["downlink"],
        wire_down_ms=down.took_ms,
        before_down_ms=(down.departed_ns - parsed_ns) / 1e6 + terms["downlink"],
        after_down_ms=(parsed_ns - down.arrived_ns) / 1e6,
    )


def table(found: Sequence[Witnessed]) -> tuple[str, float]:
    """Medians by candidate as Markdown, and the largest of `ENDS`, in ms."""
    heads = ("request", "on the wire (kB)", "uplink (ms)", "wire (ms)", "before, after", "downlink (ms)", "wire (ms)")
    lines = [f"| {' | '.join([*heads, 'before, after'])} |", "|---" * (len(heads) + 1) + "|"]
    worst = 0.0
    for name in sorted({one.name for one in found}, key=lambda name: _size(found, name)):
        own = [one for one in found if one.name == name]
        of = {field.name: median(getattr(one, field.name) for one in own) for field in fields(own[0])[1:]}
        worst = max(worst, *(abs(of[end]) for end in ENDS))
        lines.append(
            f"| {name} | {of['wire_bytes'] / 1e3:.1f} "
            f"| {of['uplink_ms']:.2f} | {of['wire_up_ms']:.2f} | {of['before_up_ms']:.2f}, {of['after_up_ms']:.2f} "
            f"| {of['downlink_ms']:.2f} | {of['wire_down_ms']:.2f} "
            f"| {of['before_down_ms']:.2f}, {of['after_down_ms']:.2f} |"
        )
    return "\n".join(lines), worst


def _size(found: Sequence[Witnessed], name: str) -> tuple[int, str]:
    return min(one.wire_bytes for one in found if one.name == name), name


def _spec(overrides: Sequence[str]) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", ["model=mobilenetv2", "hardware=local", *overrides]))


def main() -> int:
    """Measure, write, print; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="requests of each kind")
    parser.add_argument("--out", type=Path, default=PROJECT / "outputs" / "witness", help="folder of what is written")
    parser.add_argument("overrides", nargs="*", help="of the spec, such as bandwidth=30")
    options = parser.parse_args()
    spec = _spec(options.overrides)
    options.out.mkdir(parents=True, exist_ok=True)
    with LocalTestbed(spec, options.out / "logs") as bed:
        cuts = {int(cut["index"]) for cut in bed.load()["cuts"]}
        bed.require(bed.probe())
        runner = Runner(bed.agent, bed.trace, request_timeout_s=spec.measure.timeout_s)
        splits = [measure(Key("split", split, "none")) for split in SPLITS if split in cuts]
        requests = [*splits, measure(Key("edge-only", None, "none", "uint8")), *map(echo, ECHO_BYTES)]
        for _ in range(_WARM_ROUNDS):
            runner.warm(requests)
        found = list(observe(bed, runner, requests, options.rounds))
    with (options.out / "witness.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Witnessed)])
        writer.writeheader()
        writer.writerows(asdict(one) for one in found)
    text, worst = table(found)
    (options.out / "witness.md").write_text(text + "\n")
    print(text)
    print(f"largest median between a clock reading and its segment: {worst:.2f} ms; allowed: {TOLERANCE_MS:g} ms")
    return 0 if worst <= TOLERANCE_MS else 1


if __name__ == "__main__":
    guarded(main)
