"""An hour of requests over one testbed: does anything grow, of memory, of open files, of what a request takes?

    python experiments/soak.py [--minutes 60] [--folder FOLDER] [--table] [OVERRIDE ...]

Real gRPC, real Triton, a real shaped link, both tiers on this host (hardware=local): the same few requests over and
over, in changing order. Every ten seconds, between two rounds, it is looked at what each process of the run holds:
private memory (no page of it is another's too) and open files. The first twelfth of the time, five minutes of an hour,
does not count. Then the medians of the last ten minutes are held against those of the first ten, or, where less than
half an hour is left, of the last third against the first. Latencies and looks are in FOLDER (outputs/soak) while it
runs; what came of them is put on record in `experiments/records/soak.jsonl`, and the table in `soak.md` beside it.
`--table` runs nothing.

Ends with 1 where, on record, a process holds 2 % more memory than at first or more open files, was replaced by another
or not seen, or the network takes a request longer by more than 2 % and its noise floor (odd against even requests of
the first ten minutes), or where nothing is on record; with 2 where a request failed. What a request takes in all is
shown beside it: the speed of a host drifts by more than that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from hydra import compose, initialize_config_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown, percent
from experiments.connection_states import candidates
from experiments.footprint import Held, held
from experiments.ledger import Ledger
from harness.errors import HarnessError
from harness.offloader.runner import Request, Runner, echo, measure
from harness.results.schema import TIER_TERMS, Key, Sample
from harness.spec import PROJECT, Spec
from harness.testbed.local import LocalTestbed
from harness.testbed.place import testbed_of

EVERY_S = 10.0
#: Of an hour the first five minutes: TensorFlow's and gRPC's pools reach their size.
WARM_UP_SHARE = 1 / 12
LONGEST_WINDOW_S = 600.0
#: The bars.
MAX_GROWTH, MAX_DRIFT = 0.02, 0.02
#: Without these there is no run.
_NEEDED = ("harness", "agent", "tritonserver", "python stub")
_WARM_ROUNDS = 3


@dataclass(frozen=True)
class Look:
    """What all processes of the run held, some seconds after it began."""

    at_s: float
    held: tuple[Held, ...]

    def of(self, role: str, what: str) -> int:
        """The sum over the processes of a role."""
        return sum(getattr(own, what) for own in self.held if own.role == role)


@dataclass(frozen=True)
class Took:
    """One request: when it ended, what it took, and what of it the network took."""

    at_s: float
    name: str
    total_ms: float
    network_ms: float

    @classmethod
    def of(cls, at_s: float, request: Request, sample: Sample) -> Took:
        inside_ms = sum(sample.terms.get(term, 0.0) for term in TIER_TERMS)
        return cls(at_s, request.name, sample.total_ms, sample.total_ms - inside_ms)


def run(spec: Spec, minutes: float, folder: Path) -> dict[str, Any]:
    """Send requests for so long; what came of it. Raises HarnessError where one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    looks, requests = folder / "looks.jsonl", folder / "requests.jsonl"
    with testbed_of(spec, folder / "logs") as bed, looks.open("w") as looked, requests.open("w") as sent:
        runner, planned = prepare(bed)
        began_s, next_look_s = time.monotonic(), 0.0
        for number in count():
            at_s = time.monotonic() - began_s
            if at_s >= next_look_s:
                print(json.dumps(asdict(Look(at_s, tuple(held(os.getpid()))))), file=looked, flush=True)
                next_look_s = at_s + EVERY_S
            if at_s >= 60 * minutes:
                break
            for request, sample in runner.rounds(planned, 1, seed=number):
                took = Took.of(time.monotonic() - began_s, request, sample)
                print(json.dumps(asdict(took)), file=sent)  # not kept here: it would be this process that grows
    return judged(read_looks(looks), read_requests(requests))


def prepare(bed: LocalTestbed) -> tuple[Runner, list[Request]]:
    """Load the model, check the link, warm up; who runs requests, and which."""
    loaded = bed.load()
    bed.require(bed.probe())
    keys = [*candidates(loaded["cuts"]), *(Key("edge-only", None, "none", name) for name in ("uint8", "jpeg"))]
    runner = Runner(bed.agent, bed.trace, request_timeout_s=bed.spec.measure.timeout_s)
    tcp = bed.spec.link.tcp
    runner.warm([echo(tcp.warmup_bytes)] * tcp.warmup_transfers)
    planned = [measure(key) for key in keys]
    runner.warm(planned * _WARM_ROUNDS)
    return runner, planned


def windows_s(total_s: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """First and last window of a run of so long."""
    warm_s = WARM_UP_SHARE * total_s
    length_s = min(LONGEST_WINDOW_S, (total_s - warm_s) / 3)
    return (warm_s, warm_s + length_s), (total_s - length_s, total_s)


def judged(looks: Sequence[Look], requests: Sequence[Took]) -> dict[str, Any]:
    """What a run came to: by process and by request the medians of the first window and of the last."""
    total_s = looks[-1].at_s
    first_s, last_s = windows_s(total_s)
    found: dict[str, Any] = {"minutes": total_s / 60, "windows_s": [first_s, last_s], "processes": {}, "requests": {}}
    early, late = ([look for look in looks if begin <= look.at_s <= end] for begin, end in (first_s, last_s))
    for role in dict.fromkeys(own.role for look in looks for own in look.held):
        pairs = {what: [median(look.of(role, what) for look in part) for part in (early, late)] for what in _HELD}
        memory, files = pairs["private_bytes"], pairs["open_files"]
        found["processes"][role] = {"memory_bytes": memory, "growth": _change(*memory), "open_files": files}
    found["replaced"] = len({frozenset(own.pid for own in look.held) for look in [*early, *late]}) > 1
    for name in dict.fromkeys(took.name for took in requests):
        own = [took for took in requests if took.name == name]
        parts = [[took for took in own if begin <= took.at_s <= end] for begin, end in (first_s, last_s)]
        found["requests"][name] = {"number": len(own)} | {
            what: _latency(*([getattr(took, f"{what}_ms") for took in part] for part in parts))
            for what in ("total", "network")
        }
    return found


_HELD = ("private_bytes", "open_files")


def _latency(first_ms: Sequence[float], last_ms: Sequence[float]) -> dict[str, Any]:
    """Medians, their change, and what the first window's odd and even requests differ by."""
    medians = [median(first_ms), median(last_ms)]
    floor = abs(_change(median(first_ms[::2]), median(first_ms[1::2])))
    return {"ms": medians, "drift": _change(*medians), "floor": floor}


def _change(first: float, last: float) -> float:
    return last / first - 1 if first else float(last > 0)


def missed(found: Mapping[str, Any]) -> list[str]:
    """The bars that a run missed, a line each. Of a process that was not seen nothing is known, which is a miss too."""
    lines = ["a process was replaced by another"] if found["replaced"] else []
    lines += [f"{role} was not seen" for role in _NEEDED if role not in found["processes"]]
    lines += [] if found["requests"] else ["no request was measured"]
    for role, own in found["processes"].items():
        if own["growth"] >= MAX_GROWTH:
            lines.append(f"memory of {role} grew by {own['growth']:.1%}")
        before, after = own["open_files"]
        if after > before:
            lines.append(f"open files of {role}: {after:g} instead of {before:g}")
    for name, own in found["requests"].items():
        network = own["network"]
        if network["drift"] > max(MAX_DRIFT, network["floor"]):
            lines.append(f"the network took {name} longer by {network['drift']:.1%}")
    return lines


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: of each run its processes, its requests, and what it missed."""
    parts = []
    for name, found in records.items():
        broken = missed(found)
        parts += [
            f"## {name}\n",
            markdown(_PROCESS_COLUMNS, [_process_row(role, own) for role, own in found["processes"].items()]),
            markdown(_REQUEST_COLUMNS, [_request_row(key, own) for key, own in found["requests"].items()]),
            "\n".join(f"- {line}" for line in broken) + "\n" if broken else "Every bar was kept.\n",
        ]
    return "\n".join(parts)


_PROCESS_COLUMNS = ("process", "MB at first", "at last", "%", "open files at first", "at last")
_REQUEST_COLUMNS = (
    *("request", "times", "ms at first", "at last", "%", "floor %"),
    *("network ms at first", "at last", "%", "floor %"),
)


def _process_row(role: str, own: Mapping[str, Any]) -> list[str]:
    memory = [f"{value / 1e6:.1f}" for value in own["memory_bytes"]]
    return [role, *memory, percent(own["growth"], signed=True), *(f"{value:g}" for value in own["open_files"])]


def _request_row(name: str, own: Mapping[str, Any]) -> list[str]:
    row = [name, str(own["number"])]
    for part in (own["total"], own["network"]):
        row += [*(f"{ms:.1f}" for ms in part["ms"]), percent(part["drift"], signed=True), percent(part["floor"])]
    return row


def read_looks(path: Path) -> list[Look]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [Look(record["at_s"], tuple(Held(**own) for own in record["held"])) for record in records]


def read_requests(path: Path) -> list[Took]:
    return [Took(**json.loads(line)) for line in path.read_text().splitlines()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, default=PROJECT / "outputs" / "soak")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("overrides", nargs="*", help="of the spec, such as model=densenet169")
    options = parser.parse_args(argv)
    ledger = Ledger.of("soak")
    if not options.table:
        overrides = ["model=mobilenetv2", "hardware=local", *options.overrides]
        with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
            spec = Spec.from_config(compose("config", overrides))
        name = " ".join([spec.model.name, *options.overrides, f"{options.minutes:g} min"])
        try:
            ledger.add(name, run(spec, options.minutes, options.folder), options.folder)
        except HarnessError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    known = ledger.all()
    text = table(known)
    print(text or "nothing is on record")
    ledger.publish(
        "# Requests for an hour\n\nWritten by `python experiments/soak.py`.\n\n"
        f"{text}\nOn {'; '.join(ledger.hosts())}.\n"
    )
    return int(not known or any(missed(found) for found in known.values()))


if __name__ == "__main__":
    guarded(main)
