"""The link of a cell as `netem` takes it: its mean, what is random in it, and the trace that it replays."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.errors import SpecError
from harness.spec import Spec
from harness.spec.fields import from_project
from netem.errors import LinkSpecError
from netem.impairments import UNIMPAIRED, GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.trace import Trace, cellular_uplink
from netem.variability import LinkVariability, TracePoints


def link_spec(spec: Spec) -> LinkSpec:
    """The link to predict for; of a trace, its time-weighted mean point.

    Raises:
        SpecError: the link is impossible, or its trace cannot be read.
    """
    base, trace = base_link(spec), trace_of(spec)
    return base if trace is None else _mean(trace, base)


def base_link(spec: Spec) -> LinkSpec:
    """Rates, delays and impairments of a cell without its trace; the round trip is halved each way.

    Raises:
        SpecError: the link is impossible.
    """
    link = spec.link
    tcp = TcpPolicy(link.tcp.congestion_control, slow_start_after_idle=link.tcp.slow_start_after_idle)
    try:
        impairments = _impairments(spec)
        return LinkSpec(
            rate_up_mbps=spec.bandwidth,
            rate_down_mbps=link.downlink,
            delay_up_ms=spec.latency / 2,
            delay_down_ms=spec.latency / 2,
            queue_bytes=link.queue_bytes,
            burst_bytes=link.burst_bytes,
            mtu=link.mtu,
            tcp=tcp,
            impairments_up=impairments,
            impairments_down=impairments if link.impair == "both" else UNIMPAIRED,
            seed=spec.seed if link.seed is None else link.seed,
        )
    except LinkSpecError as error:
        raise SpecError(f"link: {error}") from error


def trace_of(spec: Spec) -> Trace | None:
    """What the uplink replays while the cell measures; None for a constant link.

    Raises:
        SpecError: link=trace has no file, or it is no trace.
    """
    link = spec.link
    if link.name == "fiveg":
        seed = spec.seed if link.seed is None else link.seed
        return cellular_uplink(link.duration_s, seed, delay_ms=spec.latency / 2)
    if link.name == "static":
        return None
    if link.trace is None:
        raise SpecError(
            "link=trace has no file: set link.trace=FILE, a mahimahi trace or a CSV with t_s, rate_mbps and "
            "optionally delay_ms, loss; or take link=fiveg, which generates one"
        )
    path = trace_path(link.trace)
    try:
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        return _read(path, stamp)
    except LinkSpecError as error:
        raise SpecError(f"link.trace: {error}") from error


def trace_path(name: str) -> Path:
    """Where the file of `link.trace` lies: a relative one is meant from the project."""
    return from_project(name)


def variability(spec: Spec) -> LinkVariability:
    """What of the link is random or changes: what a prediction widens by, or refuses.

    Raises:
        SpecError: the link is impossible, or its trace cannot be read.
    """
    base, trace = base_link(spec), trace_of(spec)
    if trace is None:
        return LinkVariability.of(base.impairments_up, base.impairments_down)
    points = [step.of(base) for step in trace.steps]
    return LinkVariability.of(
        base.impairments_up,
        base.impairments_down,
        TracePoints(
            np.array(trace.lengths_s),
            np.array([point.rate_up_mbps for point in points]),
            np.array([point.delay_up_ms for point in points]),
            np.array([point.impairments_up.loss_rate for point in points]),
        ),
    )


@lru_cache(maxsize=8)
def _read(path: Path, _changed_ns: int) -> Trace:
    """A long trace takes its time to read, and is asked for several times."""
    return Trace.read(path)


def _mean(trace: Trace, base: LinkSpec) -> LinkSpec:
    try:
        return trace.mean(base)
    except LinkSpecError as error:
        raise SpecError(f"link.trace: its mean is no link: {error}") from error


def _impairments(spec: Spec) -> Impairments:
    link, chain = spec.link, spec.link.gilbert_elliott
    loss: float | GilbertElliott = link.loss or 0.0
    if (chain.to_bad is None) != (chain.to_good is None):
        raise LinkSpecError("gilbert_elliott has one of to_bad and to_good: set both, or leave both null")
    if chain.to_bad is not None and chain.to_good is not None:
        if link.loss is not None:
            raise LinkSpecError(f"loss={link.loss:g} and gilbert_elliott exclude each other: leave one of them null")
        loss = GilbertElliott(chain.to_bad, chain.to_good, chain.loss_bad, chain.loss_good)
    return Impairments(
        jitter_ms=link.jitter_ms or 0.0,
        jitter_distribution=link.jitter_distribution or "normal",
        jitter_correlation=link.jitter_correlation or 0.0,
        loss=loss,
        reorder=link.reorder or 0.0,
        duplicate=link.duplicate or 0.0,
        corrupt=link.corrupt or 0.0,
    )
