"""Runs inside User-Mode Linux (see ``tests/netem/uml.py``): the grid of links, and 1,000 changes, on ``sch_netem``.

Usage: uml_link_bars.py RESULT_FILE.
"""

import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netem import LinkSpec, Sandbox, apply, probe, restore, transfer_times_ms
from tests.netem.proof import changes_under_load

RATES_MBPS = (10, 30, 57, 60, 100)
DELAYS_MS = (0, 10, 28, 50)
SIZES_BYTES = (1_000, 10_000, 100_000, 1_000_000, 13_000_000)
WARM_UP = [800_000] * 5


def counts(size: int) -> int:
    """How often a size is sent: its median counts."""
    return 3 if size > 2_000_000 else 9


def refill_s(spec: LinkSpec) -> float:
    """Pause before each transfer: theory begins with a full bucket."""
    return 0.005 + spec.burst_bytes * 8 / (spec.rate_up_mbps * 1e6)


def sizes_sent() -> list[int]:
    """Everything that one connection sends, in order."""
    return WARM_UP + [size for size in SIZES_BYTES for _ in range(counts(size))]


def by_size(times_ms: list[float]) -> dict[int, list[float]]:
    """The times of ``sizes_sent``, without the warm-up, by size."""
    sent = sizes_sent()
    return {
        size: [t for t, n in zip(times_ms[len(WARM_UP) :], sent[len(WARM_UP) :], strict=True) if n == size]
        for size in SIZES_BYTES
    }


def grid(write: Any) -> list[dict[str, Any]]:
    """RTT, rates and warm transfers of every link."""
    found: list[dict[str, Any]] = []
    with Sandbox() as sandbox:
        for rate_mbps in RATES_MBPS:
            for rtt_ms in DELAYS_MS:
                spec = LinkSpec(rate_mbps, rate_mbps, rtt_ms / 2, rtt_ms / 2)
                applied = apply(sandbox, spec)  # anew, and not changed: calibrated at its own delay
                report = probe(sandbox, spec, applied)
                times = by_size(transfer_times_ms(sandbox, sizes_sent(), idle_s=refill_s(spec)))
                found.append({"rate_mbps": rate_mbps, "rtt_ms": rtt_ms, "report": report.as_dict(), "times_ms": times})
                write(found)
                restore(sandbox, applied)
    return found


if __name__ == "__main__":
    results: dict[str, Any] = {"grid": [], "changes": None, "error": None}

    def write(grid_so_far: list[dict[str, Any]]) -> None:
        results["grid"] = grid_so_far
        Path(sys.argv[1]).write_text(json.dumps(results))

    try:
        results["changes"] = asdict(changes_under_load("netem", 1000, (30, 15)))
        grid(write)
    except Exception:
        results["error"] = traceback.format_exc()
    write(results["grid"])
