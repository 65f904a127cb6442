"""How requests meet their link, beyond its rates and delays: the state of the connection, jitter, loss, a trace.

None of it is ignored: it moves the prediction, widens its interval, or is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.errors import SpecError
from harness.prediction.link_theory import Array, LinkPoint, downlink_ms, spread_ms, uplink_ms
from harness.prediction.predictors.base import Model, Prediction, Table
from harness.results.schema import REQUEST_IDLE_MS, Key, Row
from netem.link import LinkSpec
from netem.variability import TracePoints

#: A median's standard error is this times the standard deviation / sqrt(n), for normal values.
_MEDIAN_ERROR = 1.2533
_Z95, _Z95_ONE_SIDED = 1.96, 1.645
#: Most payloads of the zoo's models are smaller.
_USUAL_BYTES = 1e6
#: 1000 classes in float32, and their framing.
_USUAL_RESPONSE_BYTES = 4100.0


@dataclass(frozen=True)
class Circumstances:
    """Of every request of a cell.

    connection: `warm` (the open one; what a candidate's own silence does to it is derived), `new` (none yet), or
        `idle` (the open one after `pause_ms` more of silence).
    pause_ms: that silence.
    requests: behind a measured median; decides how far a random link lets it wander.
    trace: the steps of the uplink, None where its mean does not change.
    """

    connection: Literal["warm", "new", "idle"] = "warm"
    pause_ms: float = 0.0
    requests: int = 10
    trace: TracePoints | None = None

    @property
    def silence_ms(self) -> float:
        """What comes on top of a candidate's own silence."""
        return self.pause_ms if self.connection == "idle" else 0.0


def predict(
    model: Model,
    link: LinkSpec,
    rows: Sequence[Row],
    *,
    slowdown: float,
    circumstances: Circumstances,
    checked: bool = True,
) -> dict[Key, Prediction]:
    """Every row that is possible at all, in these circumstances.

    Args:
        checked: see `link_theory.spread_ms`.

    Raises:
        SpecError: what cannot be predicted soundly; see `link_theory`.
    """
    if circumstances.trace is not None:
        return _over_trace(model, link, rows, slowdown, circumstances, circumstances.trace)
    found = model.predict(
        link, rows, slowdown=slowdown, connection=circumstances.connection, silence_ms=circumstances.silence_ms
    )
    if link.impairments_up.none and link.impairments_down.none:
        return found.predictions()
    return _spread(found, model, link, rows, circumstances, checked=checked).predictions()


def require_predictable(link: LinkSpec, circumstances: Circumstances, largest_bytes: float | None = None) -> None:
    """Find out before anything starts. Raises SpecError as `predict` would for a request of any size.

    Args:
        largest_bytes: payload of the largest request; None where nobody has looked at the model yet: 1 MB.
    """
    sizes = np.array([1.0, 1e5, largest_bytes or _USUAL_BYTES])
    state = "new" if circumstances.connection == "new" else "idle"
    uplink_ms(link, sizes, state=state, silence_ms=circumstances.silence_ms)  # type: ignore[arg-type]
    spread_ms(link, sizes, _USUAL_RESPONSE_BYTES)
    if circumstances.trace is not None:
        _require_plain_trace(link, circumstances.trace)


def plain(link: LinkSpec, circumstances: Circumstances | None) -> bool:
    """Whether every packet of every request meets the same link."""
    changing = circumstances is None or circumstances.trace is not None
    return not changing and link.impairments_up.none and link.impairments_down.none


def network_ms(
    link: LinkSpec, rows: Sequence[Row], response_bytes: float, circumstances: Circumstances
) -> dict[Key, float]:
    """What the formulas give for uplink and downlink together, ms, without any fitted constant; of no row nothing.

    The link may differ a little from the one that was found predictable.

    Args:
        rows: that send something, with their predicted terms: they decide how long the link is silent.
    """
    if not rows:
        return {}
    sizes = np.array([float(row.payload_bytes or 0) for row in rows])
    if circumstances.connection == "new":
        up = uplink_ms(link, sizes, state="new")
    else:
        quiet = np.array([sum(ms for term, ms in row.predicted_terms.items() if term != "uplink") for row in rows])
        silence_ms = quiet + REQUEST_IDLE_MS + circumstances.silence_ms
        up = uplink_ms(link, sizes, state="idle", silence_ms=silence_ms)
    if not (link.impairments_up.none and link.impairments_down.none):
        up = up + sum(shift for shift, _ in spread_ms(link, sizes, response_bytes, checked=False))
    return dict(zip((row.key for row in rows), (up + downlink_ms(link, response_bytes)).tolist(), strict=True))


def _spread(
    found: Table, model: Model, link: LinkSpec, rows: Sequence[Row], circumstances: Circumstances, *, checked: bool
) -> Table:
    """Jitter and random loss: they delay both ways on average, and scatter every request."""
    sent = np.array([key.candidate != "device-only" for key in found.keys])
    payload = {row.key: float(row.payload_bytes or 0) for row in rows}
    sizes = np.array([payload[key] for key in found.keys])
    (up, up_deviation), (down, down_deviation) = spread_ms(link, sizes, model.response_bytes, checked=checked)
    shift, deviation = np.where(sent, up + down, 0.0), np.where(sent, np.hypot(up_deviation, down_deviation), 0.0)
    # Eq. 4 has one term for both ways.
    delayed = {"uplink": up, "downlink": down} if "downlink" in found.terms else {"uplink": up + down}
    error = _Z95 * _MEDIAN_ERROR * deviation / np.sqrt(circumstances.requests)
    total = found.total_ms + shift
    half = np.hypot(found.high_ms - found.total_ms, error)
    tail = np.hypot(found.p95_ms - found.total_ms, _Z95_ONE_SIDED * deviation)
    return replace(
        found,
        terms={term: ms + delayed[term] if term in delayed else ms for term, ms in found.terms.items()},
        total_ms=total,
        low_ms=np.maximum(0.0, total - half),
        high_ms=total + half,
        p95_ms=total + tail,
    )


def _over_trace(
    model: Model, link: LinkSpec, rows: Sequence[Row], slowdown: float, circumstances: Circumstances, trace: TracePoints
) -> dict[Key, Prediction]:
    """A request meets one step of the trace at random: the prediction is the time-weighted median over all steps.

    The median of n requests lies between those quantiles of the steps that n draws put around it (the normal
    approximation to the binomial order statistics), each widened by the step's own interval.
    """
    _require_plain_trace(link, trace)
    steps = replace(LinkPoint.of(link), rate_up_mbps=trace.rate_mbps, delay_up_ms=trace.delay_ms)
    found = model.predict(
        steps, rows, slowdown=slowdown, connection=circumstances.connection, silence_ms=circumstances.silence_ms
    )
    reach = _Z95 / 2 / np.sqrt(circumstances.requests)
    low, high = max(0.0, 0.5 - reach), min(1.0, 0.5 + reach)
    table = Table(
        keys=found.keys,
        terms={term: _quantile(trace, values, 0.5) for term, values in found.terms.items()},
        total_ms=_quantile(trace, found.total_ms, 0.5),
        low_ms=_quantile(trace, found.low_ms, low),
        high_ms=_quantile(trace, found.high_ms, high),
        p95_ms=_quantile(trace, found.p95_ms, 0.95),
    )
    return table.predictions()


def _quantile(trace: TracePoints, values: Array, share: float) -> Array:
    return np.asarray(trace.quantiles(values, np.array([share]))[..., 0])


def _require_plain_trace(link: LinkSpec, trace: TracePoints) -> None:
    if not (link.impairments_up.none and link.impairments_down.none):
        raise SpecError(
            "a changing link (link.trace, link=fiveg) with jitter, loss or the like on top cannot be predicted; "
            "allowed: one of the two, or mode=measure"
        )
    if trace.loss.max() > 0:
        raise SpecError(
            f"link.trace loses up to {trace.loss.max():.2%} of the packets, and what that costs a request on a "
            "changing link cannot be predicted; allowed: a trace without loss, or mode=measure"
        )
