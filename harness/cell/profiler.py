"""Profiles both tiers from outside: plans the pieces of work, has them timed, keeps the medians (no TensorFlow)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, Protocol

from harness.prediction.profile import CutRecord, TierProfile
from harness.profiling.timing import Times
from harness.profiling.work import Work
from harness.results.schema import Key
from harness.transfer import layers, wire

#: Pieces of work per `prepare` call: small enough for a progress bar, large enough not to count.
_CHUNK = 8

Advance = Callable[[str, float], None]


class Agent(Protocol):
    """What the profiler needs of an agent's client."""

    def call(self, name: str, timeout_s: float = ..., **arguments: Any) -> Any: ...

    def edge(self, verb: str, **arguments: Any) -> Any: ...


def profile_tiers(
    agent: Agent,
    loaded: dict[str, Any],
    fingerprints: dict[str, dict[str, Any]],
    *,
    transfer_layers: Sequence[str],
    execution: str,
    rounds: int,
    warmup: int,
    seed: int,
    advance: Advance,
) -> tuple[TierProfile, TierProfile]:
    """Time every block, and every transfer layer and wire format at every cut, on both tiers.

    Both tiers compile at the same time but are timed in turns, as in a request only one of them computes.

    Args:
        loaded: what the agent's `load` said of the model.
        fingerprints: by tier, what the profile is valid for.
        advance: told (what is being done, share of it done).
    """
    cuts = tuple(CutRecord(**{**cut, "shape": tuple(cut["shape"])}) for cut in loaded["cuts"])
    works = _works(cuts, loaded["last"], transfer_layers)
    names = [str(work) for work in works]
    prepare_both(agent, names, names, execution, lambda share: advance("compiling blocks on both tiers", share))
    measured: dict[str, dict[str, dict[str, list[float]]]] = {
        tier: defaultdict(lambda: defaultdict(list)) for tier in ("device", "edge")
    }
    for number in range(warmup + rounds):
        arguments: dict[str, Any] = {
            "works": names,
            "execution": execution,
            "seed": seed + number,
            "gap_ms": 0.0,
        }
        for tier, times in (("device", agent.call("time", **arguments)), ("edge", agent.edge("time", **arguments))):
            if number >= warmup:
                _collect(measured[tier], times)
        advance("timing blocks on both tiers", (number + 1) / (warmup + rounds))
    device, edge = (
        _tier_profile(tier, fingerprints[tier], cuts, loaded, measured[tier]) for tier in ("device", "edge")
    )
    return device, edge


def _works(cuts: Sequence[CutRecord], last: int, transfer_layers: Sequence[str]) -> list[Work]:
    works = [Work.block(start, end) for start, end in [*_fine(cuts, last), *_scission(cuts, last)]]
    works += [Work.codec(Key("edge-only", None, "none", name)) for name in wire.input_formats()]
    works += [
        Work.codec(Key("split", cut.index, name, "float32"))
        for cut in cuts
        for name in transfer_layers
        if layers.get(name).infeasible_because(cut.shape) is None
    ]
    return list(dict.fromkeys(works))  # some of Scission's blocks are ours


def _fine(cuts: Sequence[CutRecord], last: int) -> list[tuple[int, int]]:
    bounds = [0, *(cut.index for cut in cuts), last]
    return list(itertools.pairwise(bounds))


def _scission(cuts: Sequence[CutRecord], last: int) -> list[tuple[int, int]]:
    bounds = [0, *(cut.index for cut in cuts if cut.scission_cut), last]
    return list(itertools.pairwise(bounds))


def prepare_both(
    agent: Agent, device: Sequence[str], edge: Sequence[str], execution: str, advance: Callable[[float], None]
) -> None:
    """Compile pieces of work, a few at a time on both tiers at once. `advance` is told the share done."""
    chunks: list[tuple[list[str], list[str]]] = list(
        itertools.zip_longest(_chunks(device), _chunks(edge), fillvalue=[])
    )
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        for done, (for_device, for_edge) in enumerate(chunks, start=1):
            pending = [
                pool.submit(call, "prepare", works=works, execution=execution)
                for call, works in ((agent.call, for_device), (agent.edge, for_edge))
                if works
            ]
            for future in pending:
                future.result()
            advance(done / len(chunks))
    finally:
        # Not waited for: after an error or an interrupt a call that is still out ends with its channel.
        pool.shutdown(wait=False, cancel_futures=True)


def _chunks(names: Sequence[str]) -> list[list[str]]:
    return [list(names[start : start + _CHUNK]) for start in range(0, len(names), _CHUNK)]


def _collect(measured: dict[str, dict[str, list[float]]], times: Times) -> None:
    for name, terms in times.items():
        for term, ms in terms.items():
            measured[name][term].append(ms)


def _tier_profile(
    tier: str,
    fingerprint: dict[str, Any],
    cuts: tuple[CutRecord, ...],
    loaded: dict[str, Any],
    measured: dict[str, dict[str, list[float]]],
) -> TierProfile:
    def block_ms(bounds: list[tuple[int, int]]) -> tuple[float, ...]:
        return tuple(median(measured[str(Work.block(start, end))][tier]) for start, end in bounds)

    codec_ms = {
        name.removeprefix("codec/"): {term: median(values) for term, values in terms.items()}
        for name, terms in measured.items()
        if name.startswith("codec/")
    }
    return TierProfile(
        tier=tier,
        fingerprint=fingerprint,
        cuts=cuts,
        last=loaded["last"],
        input_shape=tuple(loaded["input_shape"]),
        picture_bytes=loaded["pictures"],
        block_ms=block_ms(_fine(cuts, loaded["last"])),
        scission_block_ms=block_ms(_scission(cuts, loaded["last"])),
        codec_ms=codec_ms,
    )
