"""Does the theory of the link earn its keep? Three ways to foretell what a request spends on the link, side by side.

    python experiments/theory.py [FOLDER ...]

What the finished cells below each FOLDER measured of their link is put on record in `experiments/records/theory.jsonl`
(none: nothing is added). Of all that is on record one link is left out at a time, then one model. What is foretold is
`uplink` + `downlink` of every measured candidate that sends something; whether a tier computes or is replayed makes no
difference to that. Each way may learn from all the other cells:

    theory               the TCP formula; what gRPC adds to it from their echoes (requests without compute): it sees
                         no candidate that was measured
    a + b n              a line in the payload's bytes n, least squares through their measured candidates
    a + b n/rate         the same in bytes by rate, so that it may follow the link
    RTT + a + b n/rate   the same on top of the round trip
    Eq. 4                round trip + n / rate; learns nothing

The table gives the mean |error| in ms, and in per cent of the measured time in brackets. It goes to the console and to
`experiments/records/theory.md`. The cells on record are those of

    python run.py -m mode=measure hardware=gpu_device-gpu_edge hardware.profiles=FOLDER model=densenet169,resnet101 \
        bandwidth=10,100 latency=10,50 measure.samples=8 measure.splits=spread measure.spread=5

and of experiment=fig4 and experiment=errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import guarded, markdown, summary
from experiments.ledger import Ledger
from harness.prediction.link_theory import downlink_ms, uplink_ms
from harness.results.cells import find_cells
from harness.results.records import read_json, read_splits
from netem.link import LinkSpec

#: What the formula knows of a link.
_LINK = ("rate_up_mbps", "rate_down_mbps", "delay_up_ms", "delay_down_ms", "burst_bytes", "mtu")


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

    def as_dict(self) -> dict[str, Any]:
        """As it stands on record."""
        arrays = {name: value.round(4).tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        link = {name: value for name, value in asdict(self.link).items() if name in _LINK}
        return {**vars(self), **arrays, "link": link}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Cell:
        """From `as_dict`."""
        arrays = {name: np.array(value, dtype=float) for name, value in record.items() if isinstance(value, list)}
        return cls(**{**record, **arrays, "link": LinkSpec(**record["link"])})


def read_cell(folder: Path) -> Cell | None:
    """A finished cell; None where it measured no request on an open connection over a link that stays as it is."""
    record, spec = summary(folder), yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8"))
    asked = read_json(folder / "env.json").get("link_spec")
    impaired = any(spec["link"].get(name) for name in ("jitter_ms", "loss", "reorder", "duplicate", "corrupt"))
    if "calibration" not in record or asked is None or impaired:
        return None
    if spec["link"]["name"] != "static" or spec["measure"]["connection"] != "warm":
        return None
    rows = [row for row in read_splits(folder) if {"uplink", "downlink"} <= row.measured_terms.keys()]
    calibration = record["calibration"]
    echoes = {int(size): terms["uplink_excess"] for size, terms in calibration["echoes"].items()}
    return Cell(
        model=record["model"],
        link=LinkSpec(**{name: asked[name] for name in _LINK}),
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


def rtt_and_line(known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """Round trip + a + b n / rate: Eq. 4 with its two constants learnt."""
    a, b = _line(
        _joined(known, lambda cell: cell.bytes_by_rate_ms),
        _joined(known, lambda cell: cell.network_ms - cell.link.rtt_ms),
    )
    return unseen.link.rtt_ms + a + b * unseen.bytes_by_rate_ms


def equation_4(_known: Sequence[Cell], unseen: Cell) -> np.ndarray:
    """Latency + Size / Bandwidth."""
    return unseen.link.rtt_ms + unseen.bytes_by_rate_ms


WAYS: dict[str, Callable[[Sequence[Cell], Cell], np.ndarray]] = {
    "theory": theory,
    "a + b n": plain_line,
    "a + b n/rate": rate_line,
    "RTT + a + b n/rate": rtt_and_line,
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


def main(argv: Sequence[str] | None = None) -> int:
    """0; 2 for a wrong call, and where there are not two cells on record that differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="*", help="of measured cells")
    ledger = Ledger.of("theory")
    for folder in parser.parse_args(argv).folders:
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder; give one with measured cells below it")
        for place in (cell.folder for cell in find_cells(folder) if cell.status == "ok"):
            cell = read_cell(place)
            if cell is not None and len(cell.payload_bytes):
                tiers = summary(place)["hardware"]
                ledger.add(f"{cell.model}, {tiers}, {cell.link_name}", cell.as_dict(), place)
    cells = [Cell.from_dict(record) for record in ledger.all().values()]
    if len({cell.link_name for cell in cells}) < 2 and len({cell.model for cell in cells}) < 2:
        print("error: no two cells of different links or models are on record; give folders of some", file=sys.stderr)
        return 2
    header = ("left out", "n", *(f"{name}: ms (%)" for name in WAYS))
    rows = [*leave_out(cells, lambda cell: cell.link_name), *leave_out(cells, lambda cell: cell.model)]
    text = markdown(header, rows)
    print(text)
    ledger.publish(
        f"# The time on the link, foretold\n\nWritten by `python experiments/theory.py`, which explains the columns, "
        f"from `theory.jsonl`: {len(cells)} cells.\n\n{text}\nOn {'; '.join(ledger.hosts())}.\n"
    )
    return 0


if __name__ == "__main__":
    guarded(main)
