"""How far requests stay above what nothing can beat: device, bare link and edge. What is left is our own.

    python experiments/overhead.py CELL [CELL ...]

Each CELL is a folder of `run.py`, measured on warm connections over a constant link. The limit of a request is the
time of head and DeviceTL, the payload's way over the link by the link's own theory (transfer of the encoded tensor,
propagation both ways, the answer), and the time of EdgeTL and tail. The overhead is what the request took beyond:
messages, gRPC, Protobuf, Triton and its queue, the two conversions, the relay. By candidate the median over its
requests, and what it consists of; the table has the worst candidate of each class of payload. An emulated board
(hardware=iiot) serializes as slowly as it computes; hardware=local shows the harness alone. Ends with 1 where an
overhead is above 2 ms and 2 % (payloads up to 1 MB) or 3 % (above).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown
from harness.errors import HarnessError
from harness.results.records import read_json, read_samples, read_splits
from harness.results.schema import TERMS, Key, Sample
from netem.theory import transfer_ms

COMPUTED = ("device", "device_tl", "edge_tl", "edge")
MAX_MS, MAX_SHARE, MAX_SHARE_LARGE, LARGE_BYTES = 2.0, 0.02, 0.03, 1_000_000
CLASSES = ((0, 20_000), (20_000, 100_000), (100_000, 500_000), (500_000, LARGE_BYTES), (LARGE_BYTES, float("inf")))


@dataclass(frozen=True)
class Overhead:
    """Medians over a candidate's requests.

    parts: ms by term; `uplink` and `downlink` beyond the link's own time, `other` what no term has.
    """

    payload_bytes: int
    over_ms: float
    share: float
    parts: dict[str, float]

    @property
    def within(self) -> bool:
        """Whether it keeps to the bar of its payload."""
        if self.payload_bytes > LARGE_BYTES:
            return self.share <= MAX_SHARE_LARGE
        return self.over_ms <= MAX_MS or self.share <= MAX_SHARE


def overheads(folder: Path) -> dict[Key, Overhead]:
    """Of each candidate that crosses the link.

    Raises:
        HarnessError: the cell does not say over which link it was measured, or how large an answer is.
    """
    link = read_json(folder / "env.json").get("link_spec")
    calibration = read_json(folder / "summary.json").get("calibration") or {}
    if link is None or "response_bytes" not in calibration:
        raise HarnessError(f"{folder}: no cell that was measured over a link; give the folder of one of mode=validate")
    response_bytes = int(calibration["response_bytes"])
    payload_bytes = {row.key: row.payload_bytes for row in read_splits(folder)}
    samples: dict[Key, list[Sample]] = defaultdict(list)
    for sample in read_samples(folder):
        if "uplink" in sample.terms and payload_bytes.get(sample.key):
            samples[sample.key].append(sample)
    return {key: _overhead(own, payload_bytes[key] or 0, response_bytes, link) for key, own in samples.items()}


def _overhead(samples: list[Sample], payload_bytes: int, response_bytes: int, link: dict[str, Any]) -> Overhead:
    up_ms = transfer_ms(
        payload_bytes, link["rate_up_mbps"], link["delay_up_ms"], link["rtt_ms"], burst_bytes=link["burst_bytes"]
    )
    down_ms = transfer_ms(
        response_bytes, link["rate_down_mbps"], link["delay_down_ms"], link["rtt_ms"], burst_bytes=link["burst_bytes"]
    )
    bare_ms = {"uplink": up_ms, "downlink": down_ms}
    over = [
        each.total_ms - sum(bare_ms.values()) - sum(each.terms.get(term, 0.0) for term in COMPUTED) for each in samples
    ]
    parts = {
        term: median(each.terms.get(term, 0.0) - bare_ms.get(term, 0.0) for each in samples)
        for term in TERMS
        if term not in COMPUTED
    }
    parts["other"] = median(each.total_ms - sum(each.terms.values()) for each in samples)
    share = median(one / each.total_ms for one, each in zip(over, samples, strict=True))
    return Overhead(payload_bytes, median(over), share, parts)


def main(folders: list[Path]) -> int:
    """Print the table; 0 where every candidate is within its bar, else 1."""
    rows, held, parts = [], True, [*(term for term in TERMS if term not in COMPUTED), "other"]
    for folder in folders:
        found = overheads(folder)
        for low, high in CLASSES:
            own = {key: each for key, each in found.items() if low < each.payload_bytes <= high}
            if not own:
                continue
            key, worst = max(own.items(), key=lambda item: (not item[1].within, item[1].share))
            kept = sum(each.within for each in own.values())
            held &= kept == len(own)
            figures = (f"{worst.payload_bytes / 1e3:.1f}", f"{worst.over_ms:.2f}", f"{100 * worst.share:.1f}")
            rows.append(
                [
                    folder.name,
                    str(key),
                    *figures,
                    *(f"{worst.parts[part]:.2f}" for part in parts),
                    f"{kept} of {len(own)}",
                ]
            )
    header = ["cell", "worst of its class", "payload kB", "overhead ms", "% of the total", *parts, "within the bar"]
    print(markdown(header, rows))
    return 0 if held else 1


def _folders(argv: list[str]) -> list[Path]:
    if not argv or any(argument.startswith("-") for argument in argv):
        print(__doc__)
        raise SystemExit(0 if argv in (["--help"], ["-h"]) else 2)
    return [Path(argument) for argument in argv]


if __name__ == "__main__":
    guarded(lambda: main(_folders(sys.argv[1:])))
