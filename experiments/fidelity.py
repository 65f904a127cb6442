"""Does the prediction hold? Five models, three links, two pairs of tiers: predicted against measured, one table.

    python experiments/fidelity.py [--folder FOLDER] [--only TEXT] [--minutes N] [--anew] [--table]

Runs 27 cells of 6 to 18 minutes each, as fast as the host is, with nothing beside them; each of at least 20 cuts (29
exist in InceptionV3) and the naive baselines. What a cell came to is put on record in
`experiments/records/fidelity.jsonl`; a cell that is there is not run again, but with `--anew` in a new `--folder`. The
table goes to the console and to `experiments/records/fidelity.md`. `--only` takes the cells whose name holds TEXT,
`--minutes` starts none later than that, `--table` runs none.

`of the cuts` is the MAPE of the splits alone, of which no anchor shares one (the naive baselines are anchors too).
A row's verdict is this experiment's own and needs no gate: `holds` where MAPE <= 2 %, p95 <= 4 %, |bias| <= 1 %,
regret <= 1 % and tau-b >= the A/A tau - 0.03; `inconclusive` where drift or noise floor exceed 2 %; else `missed`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import Cell, guarded, markdown, percent, summary
from experiments.ledger import Ledger, parser

MODELS = ("densenet169", "densenet201", "resnet101", "inceptionresnet_v2", "inception_v3")
#: (Mbit/s, ms): the paper's link, and those of its Figure 9.
MAIN_LINK, OTHER_LINKS = (57, 28), ((30, 30), (60, 30))
LOCAL_MODELS = ("densenet169", "resnet101")
CUTS = 20
#: The bars, and what makes a run unable to tell.
MAX_MAPE, MAX_P95, MAX_BIAS, MAX_REGRET, TAU_SLACK, MAX_NOISE = 0.02, 0.04, 0.01, 0.01, 0.03, 0.02


def plan() -> list[Cell]:
    """All cells; the repetitions of one stand far apart, so that they see different hours."""
    first = [_cell(model, "iiot", MAIN_LINK, 1) for model in MODELS]
    others = [_cell(model, "iiot", link, 1) for link in OTHER_LINKS for model in MODELS]
    local = [_cell(model, "local", MAIN_LINK, 1) for model in LOCAL_MODELS]
    again = [_cell(model, "iiot", MAIN_LINK, number) for number in (2, 3) for model in MODELS]
    return [*first, *local, *others, *again]


def _cell(model: str, hardware: str, link: tuple[int, int], number: int) -> Cell:
    both = ("measure.transfer_layers=[maxpool,none]",) if hardware == "local" else ()
    return Cell(
        f"{model}-{hardware}-{link[0]}-{link[1]}-{number}",
        (
            f"model={model}",
            f"hardware={hardware}",
            f"bandwidth={link[0]}",
            f"latency={link[1]}",
            f"measure.spread={CUTS}",
            f"seed={number}",
            *both,
        ),
    )


def row(cell: Cell, record: dict[str, Any]) -> dict[str, Any]:
    """What the table says of one cell."""
    found = {
        "model": cell.override("model"),
        "hardware": cell.override("hardware"),
        "mbps": cell.override("bandwidth"),
        "rtt_ms": cell.override("latency"),
        "run": cell.override("seed"),
        "candidates": record["measured_candidates"],
        "mape": record["mape"],
        "mape_splits": record.get("mape_splits"),
        "p95": record["p95_abs_error"],
        "bias": record["bias"],
        "regret": record["regret"],
        "tau_b": record["kendall_tau"],
        "tau_aa": record["kendall_tau_aa"],
        "drift": record["drift"],
        "noise_floor": record["noise_floor"],
        "forecast_mape": record["forecast_mape"],
        "paper_mape": record["paper_mape"],
        "paper_eager_mape": record.get("paper_eager_mape"),
    }
    return found | {"verdict": verdict(found)}


def verdict(found: dict[str, Any]) -> str:
    """`holds`, `missed`, or `inconclusive`."""
    if abs(found["drift"]) > MAX_NOISE or found["noise_floor"] > MAX_NOISE:
        return "inconclusive"
    held = (
        found["mape"] <= MAX_MAPE
        and found["p95"] <= MAX_P95
        and abs(found["bias"]) <= MAX_BIAS
        and found["regret"] <= MAX_REGRET
        and found["tau_b"] >= found["tau_aa"] - TAU_SLACK
    )
    return "holds" if held else "missed"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown; errors in per cent."""
    header = (
        "model", "hardware", "Mbit/s", "RTT ms", "run", "n", "MAPE %", "of the cuts %", "p95 %", "bias %", "regret %",
        "tau-b (A/A)", "drift %", "floor %", "forecast MAPE %", "paper MAPE %", "paper eager MAPE %", "verdict",
    )  # fmt: skip
    return markdown(
        header,
        (
            (
                each["model"], each["hardware"], each["mbps"], each["rtt_ms"], each["run"], str(each["candidates"]),
                percent(each["mape"]), percent(each.get("mape_splits")), percent(each["p95"]),
                percent(each["bias"], signed=True), percent(each["regret"]),
                f"{each['tau_b']:.2f} ({each['tau_aa']:.2f})", percent(each["drift"], signed=True),
                percent(each["noise_floor"]), percent(each["forecast_mape"]), percent(each["paper_mape"]),
                percent(each["paper_eager_mape"]), each["verdict"],
            )
            for each in rows
        ),
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """0 where every finished cell holds or could not tell, 1 where one missed, 2 for a wrong call."""
    options = parser(__doc__, "fidelity")
    options.add_argument("--only", default="", help="cells whose name holds this")
    given = options.parse_args(arguments)
    cells = [cell for cell in plan() if given.only in cell.name]
    if not cells:
        options.error(f"--only {given.only!r}: no such cell; allowed: a part of {', '.join(c.name for c in plan())}")
    ledger = Ledger.of("fidelity")
    ledger.measure(cells, given, lambda cell, folder: row(cell, summary(folder)))
    everything = ledger.found(cell.name for cell in plan())
    ledger.publish(document(list(everything.values()), ledger.hosts()))
    rows = [everything[cell.name] for cell in cells if cell.name in everything]
    print(table(rows))
    print(f"{len(rows)} of {len(cells)} cells measured")
    return 1 if any(each["verdict"] == "missed" for each in rows) else 0


def document(rows: list[dict[str, Any]], hosts: list[str]) -> str:
    """The text of `fidelity.md`: where it comes from, and the table."""
    return (
        "# Predicted against measured\n\n"
        f"Written by `python experiments/fidelity.py`: {len(rows)} of {len(plan())} cells measured, on "
        f"{'; '.join(hosts)}. What the columns mean stands in that file; when, and with which commit a cell was "
        f"measured, in `fidelity.jsonl`.\n\n{table(rows)}"
    )


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
