"""Does the theory of the link earn its keep? Three ways to foretell what a request spends on the link, side by side.

    python experiments/theory.py [FOLDER]

Reads the finished cells below FOLDER (default: outputs/fidelity) and leaves out one link at a time, then one model
at a time. What is foretold is `uplink` + `downlink` of every measured candidate that sends something. Each way may
learn from all the other cells:

    theory         the TCP formula; what gRPC adds to it from their echoes (requests without compute)
    a + b n        a line in the payload's bytes n, least squares through their measured candidates
    a + b n/rate   the same in bytes by rate, so that it may follow the link
    Eq. 4          round trip + n / rate; learns nothing

The table gives the mean |error| in ms, and in per cent of the measured time in brackets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, finished, markdown, summary
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.results.records import read_json, read_splits
from netem.link import LinkSpec


@dataclass(frozen=True)
class Cell:
    """What one cell measured of its link.

    payload_bytes, network_ms: of each measured candidate that sent something.
    echo_bytes, echo_excess_ms: what its echoes took on the uplink above the formula.
    """

    model: str
    link: LinkSpec
    payload_bytes: np.ndarray
    network_ms: np.ndarray
    echo_bytes: np.ndarray
    echo_excess_ms: np.ndarray
    downlink_excess_ms: float
    response_bytes: int

    @property
    def link_name(self) -> str:
        """Cells of one link have the same."""
        return f"{self.link.rate_up_mbps:g} Mbit/s, {self.link.rtt_ms:g} ms"

    @property
    def bytes_by_rate_ms(self) -> np.ndarray:
        """Payload over uplink rate, ms; [candidate]."""
        return self.payload_bytes * 8 / (self.link.rate_up_mbps * 1e3)


def read_cell(folder: Path) -> Cell:
    """A finished cell."""
    record = summary(folder)
    asked = read_json(folder / "env.json")["link_spec"]
    rows = [row for row in read_splits(folder) if {"uplink", "downlink"} <= row.measured_terms.keys()]
    calibration = record["calibration"]
    echoes = {int(size): terms["uplink_excess"] for size, terms in calibration["echoes"].items()}
    return Cell(
        model=record["model"],
        link=LinkSpec(
            rate_up_mbps=asked["rate_up_mbps"],
            rate_down_mbps=asked["rate_down_mbps"],
            delay_up_ms=asked["delay_up_ms"],
            delay_down_ms=asked["delay_down_ms"],
            burst_bytes=asked["burst_bytes"],
            mtu=asked["mtu"],
        ),
        payload_bytes=np.array([float(row.payload_bytes or 0) for row in rows]),
        network_ms=np.array([row.measured_terms["uplink"] + row.measured_terms["downlink"] for row in rows]),
        echo_bytes=np.array(sorted(echoes), dtype=float),
        echo_excess_ms=np.array([echoes[size] for size in sorted(echoes)]),
        downlink_excess_ms=calibration["downlink_excess_ms"],
        response_bytes=calibration["response_bytes"],
    )


def theory(known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """The formula on the unseen link; gRPC's own cost as a line through the echoes of the known cells."""
    a, b = _line(
        np.concatenate([cell.echo_bytes for cell in known]), np.concatenate([cell.echo_excess_ms for cell in known])
    )
    down = downlink_ms(unseen.link, unseen.response_bytes) + float(np.median([c.downlink_excess_ms for c in known]))
    return np.asarray(uplink_ms(unseen.link, unseen.payload_bytes)) + a + b * unseen.payload_bytes + down


def plain_line(known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """a + b n."""
    a, b = _line(_joined(known, lambda cell: cell.payload_bytes), _joined(known, lambda cell: cell.network_ms))
    return a + b * unseen.payload_bytes


def rate_line(known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """a + b n / rate."""
    a, b = _line(_joined(known, lambda cell: cell.bytes_by_rate_ms), _joined(known, lambda cell: cell.network_ms))
    return a + b * unseen.bytes_by_rate_ms


def equation_4(_known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """Latency + Size / Bandwidth."""
    return unseen.link.rtt_ms + unseen.bytes_by_rate_ms


WAYS: dict[str, Callable[[Sequence[Cell], Cell], np.ndarray]] = {
    "theory": theory,
    "a + b n": plain_line,
    "a + b n/rate": rate_line,
    "Eq. 4": equation_4,
}


def leave_out(cells: Sequence[Cell], group: Callable[[Cell], str]) -> Iterable[tuple[str, ...]]:
    """One row of the table for each group left out: its name, how many candidates, each way's error."""
    for name in sorted({group(cell) for cell in cells}):
        known = [cell for cell in cells if group(cell) != name]
        unseen = [cell for cell in cells if group(cell) == name]
        if not known:
            continue
        measured = _joined(unseen, lambda cell: cell.network_ms)
        errors = []
        for foretell in WAYS.values():
            off = np.abs(np.concatenate([foretell(known, cell) for cell in unseen]) - measured)
            errors.append(f"{off.mean():.2f} ({100 * (off / measured).mean():.1f})")
        yield (name, str(len(measured)), *errors)


def _joined(cells: Sequence[Cell], values: Callable[[Cell], np.ndarray]) -> np.ndarray:
    return np.concatenate([values(cell) for cell in cells])


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    b, a = np.polyfit(x, y, 1)
    return float(a), float(b)


def main(folder: Path) -> int:
    """0; 2 where there are not two cells that differ."""
    cells = [read_cell(path.parent) for path in sorted(folder.glob("*/status.json")) if finished(path.parent)]
    if len({cell.link_name for cell in cells}) < 2 and len({cell.model for cell in cells}) < 2:
        print(f"error: {folder} holds no two cells of different links or models; run experiments/fidelity.py first")
        return 2
    header = ("left out", "n", *(f"{name}: ms (%)" for name in WAYS))
    rows = [*leave_out(cells, lambda cell: cell.link_name), *leave_out(cells, lambda cell: cell.model)]
    text = markdown(header, rows)
    (folder / "theory.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) == 2 else ROOT / "outputs" / "fidelity"))
