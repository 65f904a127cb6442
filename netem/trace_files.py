"""Reads trace files: mahimahi's and CSV (see ``netem.trace``), into rows of plain numbers."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from netem.errors import LinkSpecError
from netem.link import DELAY_MS_RANGE, RATE_MBPS_RANGE

WINDOW_MS = 100
PACKET_BYTES = 1504
"""mahimahi's: an Ethernet payload and four bytes of its TUN header."""

COLUMNS = ("t_s", "rate_mbps", "delay_ms", "loss")

Row = dict[str, float]
"""By column; ``delay_ms`` and ``loss`` are missing where the link's own hold."""


def read_rows(path: str | Path) -> tuple[list[Row], float]:
    """The rows of a trace file of either format in the order of the file, and its duration in seconds.

    Raises:
        LinkSpecError: the file cannot be read, or a line is neither.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LinkSpecError(f"trace {path} cannot be read: {reason}; give a mahimahi trace or a CSV") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise LinkSpecError(f"trace {path} is empty: give a mahimahi trace or a CSV")
    return _from_csv(path, lines) if lines[0].startswith("t_s") else _from_mahimahi(path, lines)


def _from_csv(path: str | Path, lines: Sequence[str]) -> tuple[list[Row], float]:
    header = [name.strip() for name in lines[0].split(",")]
    if header[:2] != list(COLUMNS[:2]) or not set(header) <= set(COLUMNS):
        raise LinkSpecError(f"trace {path} has the columns {', '.join(header)}: allowed are {', '.join(COLUMNS)}")
    rows: list[Row] = []
    for row in csv.DictReader(lines[1:], fieldnames=header):
        try:
            if None in row:
                raise ValueError("more fields than columns")
            values = {name: float(row[name]) for name in header if row[name] not in (None, "")}
            if not set(COLUMNS[:2]) <= values.keys():
                raise ValueError("t_s and rate_mbps are needed")
        except (TypeError, ValueError) as error:
            raise LinkSpecError(f"trace {path}: {_shown(row)} is not a line of numbers ({error})") from error
        _check(path, values)
        rows.append(values)
    gap_s = rows[-1]["t_s"] - rows[-2]["t_s"] if len(rows) > 1 else 1.0
    return rows, (rows[-1]["t_s"] if rows else 0.0) + gap_s


def _check(path: str | Path, row: Row) -> None:
    for name, (low, high) in (("rate_mbps", RATE_MBPS_RANGE), ("delay_ms", DELAY_MS_RANGE), ("loss", (0.0, 1.0))):
        if name in row and not low <= row[name] <= high:
            raise LinkSpecError(
                f"trace {path}: {name} is {row[name]:g} at {row['t_s']:g} s: allowed is {low:g} to {high:g}"
            )


def _shown(row: Mapping[str, object]) -> str:
    """The fields of a line as they were written; DictReader keeps those beyond the header in a list."""
    return repr(",".join(map(str, row.values())))[:80]


def _from_mahimahi(path: str | Path, lines: Sequence[str]) -> tuple[list[Row], float]:
    times_ms: list[int] = []
    for line in lines:
        with suppress(ValueError):
            times_ms.append(int(line))
            continue
        raise LinkSpecError(
            f"trace {path}: {line[:40]!r} is no millisecond; allowed is one whole number a line, or a CSV"
        )
    if times_ms != sorted(times_ms) or times_ms[0] < 0:
        raise LinkSpecError(f"trace {path} has milliseconds that do not rise: sort it")
    end_ms = max(1, times_ms[-1])  # a trace ends at its last line
    windows = max(1, end_ms // WINDOW_MS)
    packets = Counter(min(min(ms, end_ms - 1) // WINDOW_MS, windows - 1) for ms in times_ms)
    # What no whole window is left for belongs to the last one: a rate over a few milliseconds would mean nothing.
    lengths_ms = [WINDOW_MS] * (windows - 1) + [end_ms - (windows - 1) * WINDOW_MS]
    # A silent window is a link that carries next to nothing: the slowest rate there is.
    rows = [
        {
            "t_s": index * WINDOW_MS / 1e3,
            "rate_mbps": max(RATE_MBPS_RANGE[0], packets[index] * PACKET_BYTES * 8 / (length_ms * 1e3)),
        }
        for index, length_ms in enumerate(lengths_ms)
    ]
    return rows, end_ms / 1e3
