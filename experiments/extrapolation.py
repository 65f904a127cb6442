"""Does the forecast hold where it was not made? Profiled at 57 Mbit/s and 28 ms, foretold and measured elsewhere.

    python experiments/extrapolation.py [--folder FOLDER] [--model MODEL] [--hardware NAME] [--minutes N] [--table]

Profiles both tiers once at 57/28, writes the forecasts of five links down (`mode=predict`), then measures each of
them with that profile. What a link came to is put on record in `experiments/records/extrapolation.jsonl` (once it is
measured in the same folder as its forecast: a new folder measures anew, and replaces). The table goes to the console
and to `experiments/records/extrapolation.md`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.cells import ROOT, Cell, finished, guarded, markdown, percent, run, run_all, summary
from experiments.ledger import Ledger
from harness.results.records import read_splits
from harness.validation.statistics import bias, mape, p95_abs_error

PROFILED = (57, 28)
LINKS = ((57, 28), (30, 30), (60, 30), (10, 50), (100, 10))
CUTS = 20
MAX_MAPE, MAX_P95, MAX_BIAS = 0.04, 0.06, 0.04


def cell(mode: str, model: str, hardware: str, link: tuple[int, int], folder: Path) -> Cell:
    """One call of run.py with the profiles of this experiment alone."""
    return Cell(
        f"{mode}-{link[0]}-{link[1]}",
        (
            f"mode={mode}",
            f"model={model}",
            f"hardware={hardware}",
            f"bandwidth={link[0]}",
            f"latency={link[1]}",
            f"measure.spread={CUTS}",
            f"profile.dir={folder / 'profiles'}",
        ),
    )


def row(model: str, hardware: str, link: tuple[int, int], folder: Path) -> dict[str, Any]:
    """Forecast as it was written down against what was measured later."""
    foretold = {each.key: each.predicted_ms for each in read_splits(folder / f"predict-{link[0]}-{link[1]}")}
    rows = [each for each in read_splits(folder / f"validate-{link[0]}-{link[1]}") if each.measured_ms]
    errors = [
        (known - each.measured_ms) / each.measured_ms
        for each in rows
        if each.measured_ms and (known := foretold[each.key]) is not None
    ]
    record = summary(folder / f"validate-{link[0]}-{link[1]}")
    found = {
        "model": model,
        "hardware": hardware,
        "link": link,
        "n": len(errors),
        "mape": mape(errors),
        "p95": p95_abs_error(errors),
        "bias": bias(errors),
        "same": all(each.forecast_ms == foretold[each.key] for each in rows),
        "drift": record["drift"],
        "noise_floor": record["noise_floor"],
        "calibrated_mape": record["mape"],
    }
    bars = ((found["mape"], MAX_MAPE), (found["p95"], MAX_P95), (found["bias"], MAX_BIAS))
    held = all(error is not None and abs(error) <= most for error, most in bars)
    return found | {"verdict": "holds" if held else "missed"}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown; errors in per cent."""
    return markdown(
        ("model", "hardware", "Mbit/s", "RTT ms", "n", "forecast MAPE %", "p95 %", "bias %", "as foretold", "drift %",
         "floor %", "MAPE % with fresh anchors", "verdict"),
        (
            (
                each["model"], each["hardware"], f"{each['link'][0]}", f"{each['link'][1]}", str(each["n"]),
                percent(each["mape"]), percent(each["p95"]), percent(each["bias"], signed=True),
                "yes" if each["same"] else "no", percent(each["drift"], signed=True), percent(each["noise_floor"]),
                percent(each["calibrated_mape"]), each["verdict"],
            )
            for each in rows
        ),
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """0 where every forecast holds, 1 where one missed or could not be made, 2 for a wrong call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "extrapolation", help="of the cells")
    parser.add_argument("--model", default="densenet169", help="of conf/model")
    parser.add_argument("--hardware", default="iiot", help="of conf/hardware")
    parser.add_argument("--minutes", type=float, default=None, help="start no cell later than this")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    given = (options.model, options.hardware)
    folder = options.folder.resolve() / "-".join(given)
    validations = [cell("validate", *given, link, folder) for link in LINKS]
    if not options.table:
        first = [cell("profile", *given, PROFILED, folder)]
        first += [cell("predict", *given, link, folder) for link in LINKS]
        for each in first:
            if not finished(folder / each.name) and run(each, folder / each.name) != 0:
                return 1
        for _ in run_all(validations, folder, minutes=options.minutes):
            pass
    ledger = Ledger.of("extrapolation")
    for link, each in zip(LINKS, validations, strict=True):
        if not options.table and finished(folder / each.name):
            ledger.add(_name(*given, link), row(*given, link, folder), folder / each.name)
    rows = list(ledger.found(_name(*given, link) for link in LINKS).values())
    print(table(rows))
    everything = list(ledger.all().values())
    title = f"# The forecast where it was not made\n\nMeasured on {'; '.join(ledger.hosts())}.\n\n"
    ledger.publish(title + table(everything))
    return 1 if any(each["verdict"] == "missed" for each in rows) or len(rows) < len(LINKS) else 0


def _name(model: str, hardware: str, link: tuple[int, int]) -> str:
    return f"{model}-{hardware}-{link[0]}-{link[1]}"


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]))
