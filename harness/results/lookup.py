"""Predictions over a grid of links, made once and looked up by the page of a cell: `lookup.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError
from harness.results.schema import Key

FILE = "lookup.json"


@dataclass(frozen=True)
class Lookup:
    """What each candidate takes at each point of the grid.

    bandwidth_mbps, rtt_ms: the axes, rising. keys: the candidates.
    total_ms: [candidate][bandwidth][rtt], in ms to 0.001; None where it cannot be predicted.
    """

    bandwidth_mbps: tuple[float, ...]
    rtt_ms: tuple[float, ...]
    keys: tuple[Key, ...]
    total_ms: tuple[tuple[tuple[float | None, ...], ...], ...]

    def record(self) -> dict[str, Any]:
        """As `lookup.json` has it."""
        return {
            "bandwidth_mbps": list(self.bandwidth_mbps),
            "rtt_ms": list(self.rtt_ms),
            "keys": [str(key) for key in self.keys],
            "total_ms": [[list(rtts) for rtts in rates] for rates in self.total_ms],
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> Lookup:
        """The inverse of `record`. Raises HarnessError where a part is missing or of another size."""
        try:
            own = cls(
                tuple(record["bandwidth_mbps"]),
                tuple(record["rtt_ms"]),
                tuple(Key.parse(text) for text in record["keys"]),
                tuple(tuple(tuple(rtts) for rtts in rates) for rates in record["total_ms"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HarnessError(f"{FILE} is damaged: {error!r}; measure or predict the cell again") from error
        wanted = (len(own.keys), len(own.bandwidth_mbps), len(own.rtt_ms))
        sizes = {(len(own.total_ms), len(rates), len(rtts)) for rates in own.total_ms for rtts in rates}
        if own.keys and sizes != {wanted}:
            raise HarnessError(f"{FILE} is damaged: it holds {sorted(sizes)}, allowed [keys, rates, rtts] {wanted}")
        return own


def axis(own: float, usual: Sequence[float]) -> tuple[float, ...]:
    """The usual values and the cell's own among them, rising."""
    return tuple(sorted({*map(float, usual), float(own)}))
