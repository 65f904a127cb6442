"""gRPC against REST with binary tensors against JSON: the same requests over the same link, predicted and measured.

    python experiments/communicators.py [--folder FOLDER] [--hardware local,iiot] [--minutes N] [--anew] [--table]

DenseNet169 at 57 Mbit/s and 28 ms, cut after layer 51: 1,605,632 bytes of float32 without a transfer layer, 401,408
through `maxpool`. One cell for each communicator and pair of tiers (JSON takes the longest: it profiles what
writing each cut's tensor as numbers takes). What a cell came to is put on record in
`experiments/records/communicators.jsonl`; a cell that is there is not run again, but with `--anew` in a new
`--folder`. The table goes to the console and to `experiments/records/communicators.md`. `--minutes` starts none later
than that, `--table` runs none.

`on the wire` is the encoded tensor: raw bytes, or its numbers as JSON text. `serialize` is the device's work from the
tensor to the message; `queue` the server's from the complete message to the tail model's call, parsing JSON included.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import Cell, guarded, markdown, percent, summary
from experiments.ledger import Ledger, parser
from harness.results.records import read_splits
from harness.results.schema import Key

COMMUNICATORS = ("grpc", "http_binary", "http_json")
HARDWARE = ("local", "iiot")
CUT = 51
#: 1,605,632 bytes as float32, and a quarter of it, the 0.4 MB of the comparison.
CANDIDATES = (Key("split", CUT), Key("split", CUT, "maxpool"))
TERMS = ("serialize", "uplink", "queue", "deserialize", "downlink")


def plan(hardware: tuple[str, ...] = HARDWARE) -> list[Cell]:
    """All cells."""
    return [_cell(communicator, tiers) for tiers in hardware for communicator in COMMUNICATORS]


def _cell(communicator: str, hardware: str) -> Cell:
    return Cell(
        f"{communicator}-{hardware}",
        (
            f"communicator={communicator}",
            f"hardware={hardware}",
            "model=densenet169",
            "bandwidth=57",
            "latency=28",
            f"measure.splits=[{CUT},139]",
            "measure.transfer_layers=[maxpool,none]",
            "gate=ci",
        ),
    )


def row(cell: Cell, folder: Path) -> dict[str, Any]:
    """What the table says of one cell: its verdict, and each candidate with its terms."""
    record, rows = summary(folder), {each.key: each for each in read_splits(folder)}
    candidates = {}
    for key in CANDIDATES:
        own = rows[key]
        candidates[str(key)] = {
            "payload_bytes": own.payload_bytes,
            "measured_ms": own.measured_ms,
            "predicted_ms": own.predicted_ms,
            "error": own.error,
            "terms_ms": {term: own.measured_terms.get(term) for term in TERMS},
        }
    return {
        "communicator": cell.override("communicator"),
        "hardware": cell.override("hardware"),
        "mape": record["mape"],
        "noise_floor": record["noise_floor"],
        "verdict": record["verdict"],
        "candidates": candidates,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown: the large tensor first, for each pair of tiers the communicators below each other."""
    header = (
        "hardware", "transfer layer", "communicator", "on the wire, bytes", *(f"{term} ms" for term in TERMS),
        "request ms: measured", "predicted", "error %", "cell's MAPE % (noise floor)", "gate",
    )  # fmt: skip
    lines = []
    for hardware in dict.fromkeys(each["hardware"] for each in rows):
        for key in CANDIDATES:
            for each in (own for own in rows if own["hardware"] == hardware):
                found = each["candidates"][str(key)]
                terms = [found["terms_ms"][term] for term in TERMS]
                lines.append(
                    (
                        hardware, key.transfer_layer, each["communicator"], str(found["payload_bytes"]),
                        *("" if ms is None else f"{ms:.2f}" for ms in terms),
                        f"{found['measured_ms']:.1f}", f"{found['predicted_ms']:.1f}",
                        percent(found["error"], signed=True),
                        f"{percent(each['mape'])} ({percent(each['noise_floor'])})", each["verdict"],
                    )
                )  # fmt: skip
    return markdown(header, lines)


def main(arguments: list[str]) -> int:
    """0 where no finished cell's gate failed, 1 where one did, 2 for a wrong call."""
    options = parser(__doc__, "communicators")
    options.add_argument("--hardware", default=",".join(HARDWARE), help="pairs of tiers, comma-separated")
    given = options.parse_args(arguments)
    ledger = Ledger.of("communicators")
    ledger.measure(plan(tuple(given.hardware.split(","))), given, row)
    everything = list(ledger.all().values())
    ledger.publish(document(everything, ledger.hosts()))
    print(table(everything))
    return 1 if any(each["verdict"] == "fail" for each in everything) else 0


def document(rows: list[dict[str, Any]], hosts: list[str]) -> str:
    """The text of `communicators.md`: where it comes from, and the table."""
    return (
        "# gRPC, REST with binary tensors, JSON\n\n"
        f"Written by `python experiments/communicators.py`: DenseNet169 cut after layer {CUT}, 57 Mbit/s, 28 ms; "
        f"{len(rows)} cells measured, on {'; '.join(hosts)}. What the columns mean stands in that "
        f"file; when, and with which commit a cell was measured, in `communicators.jsonl`.\n\n{table(rows)}"
    )


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
