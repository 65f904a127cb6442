"""Profiles tiers from outside: plans the pieces of work, has them timed, keeps the medians (no TensorFlow)."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Protocol

from harness.cell.journal import Journal
from harness.dnn.features import LayerFeatures
from harness.errors import HarnessError
from harness.prediction.monotonic import TimedSlice, find_flags, require_usable
from harness.prediction.profile import CutRecord, TierProfile
from harness.profiling.timing import Times
from harness.profiling.work import Work
from harness.results.schema import Key
from harness.transfer import pictures
from harness.transfer.encoding import Encoding
from harness.validation.estimators import bootstrap_median_interval

#: Pieces of work per `prepare` call: small enough for a progress bar, large enough not to count.
_CHUNK = 8
#: Parts of a round; between them the tiers take random turns.
_TURNS = 4
#: Where a round's times stand in the journal, and how they are executed.
_BLOCKS, _EAGER = "blocks", "eager"

Advance = Callable[[str, float], None]
#: By name of the work and term, the times in ms of every timed round.
Measured = dict[str, dict[str, list[float]]]


class Agent(Protocol):
    """What the profiler needs of an agent's client."""

    def call(self, name: str, timeout_s: float = ..., **arguments: Any) -> Any: ...

    def edge(self, verb: str, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Method:
    """How a profile is made.

    encodings     timed at every cut that they fit
    execution     of the blocks: `compiled` or `eager`
    rounds        timed rounds over every piece of work
    eager_rounds  timed rounds over Scission's blocks in eager mode
    warmup        rounds thrown away before the timed ones
    seed          of the order
    """

    encodings: tuple[Encoding, ...]
    execution: str
    rounds: int
    eager_rounds: int
    warmup: int
    seed: int


def profile_tiers(
    agent: Agent,
    loaded: Mapping[str, Any],
    fingerprints: Mapping[str, dict[str, Any]],
    method: Method,
    *,
    journals: Mapping[str, Journal],
    advance: Advance,
) -> dict[str, TierProfile]:
    """Time every block, and every transfer layer and wire format at every cut, on one tier or both.

    Both tiers compile at the same time but are timed in turns, as in a request only one of them computes; pieces
    run in random order and the tiers take random turns, so that a slow spell of the host meets no one of them
    more than the others.

    Args:
        loaded: what the agent's `load` said of the model.
        fingerprints: by tier to be profiled, what the profile is valid for.
        journals: by tier, finished rounds of a killed run; each round is added to them.
        advance: told (what is being done, share of it done).

    Returns:
        Profiles by tier.

    Raises:
        HarnessError: a tier failed, or its times contradict each other beyond use.
    """
    cuts = tuple(CutRecord(**{**cut, "shape": tuple(cut["shape"])}) for cut in loaded["cuts"])
    works = [str(work) for work in _works(cuts, loaded["last"], method.encodings)]
    theirs = [str(Work.block(start, end)) for start, end in scission_bounds(cuts, loaded["last"])]
    session = _Session(agent, tuple(fingerprints), journals, method, advance)
    session.time(_BLOCKS, works, method.execution, method.rounds, method.warmup)
    session.time(_EAGER, theirs, "eager", method.eager_rounds, min(method.warmup, 1))
    try:
        profiles = {
            tier: _tier_profile(
                tier, fingerprint, cuts, loaded, _by_work(journals[tier], _BLOCKS), _by_work(journals[tier], _EAGER)
            )
            for tier, fingerprint in fingerprints.items()
        }
    except HarnessError:  # of no use: whoever runs again makes it from nothing
        for journal in journals.values():
            journal.remove()
        raise
    sized = bool(loaded.get("sized"))  # the Communicator writes every tensor in a size that depends on its content
    measured = [own for own in method.encodings if sized or own.content_dependent]
    unsized = [str(key) for key in _split_keys(cuts, measured)]
    if unsized and "device" in profiles:
        sizes = _sizes(agent, unsized, advance)
        profiles["device"] = replace(profiles["device"], payload_bytes=sizes)
    return profiles


def _sizes(agent: Agent, keys: Sequence[str], advance: Advance) -> dict[str, int]:
    """Bytes that the default request sends at each cut, for formats whose payload depends on the content."""
    found: dict[str, int] = {}
    for part in _chunks(keys):
        found |= agent.call("sizes", keys=part)
        advance("encoding payloads on the device", len(found) / len(keys))
    return found


class _Session:
    """Rounds over pieces of work on some tiers."""

    def __init__(
        self,
        agent: Agent,
        tiers: Sequence[str],
        journals: Mapping[str, Journal],
        method: Method,
        advance: Advance,
    ) -> None:
        self._agent = agent
        self._tiers = tiers
        self._journals = journals
        self._seed = method.seed
        self._advance = advance

    def time(self, part: str, names: Sequence[str], execution: str, rounds: int, warmup: int) -> None:
        """The timed rounds of one part that no journal has, after `warmup` rounds that are thrown away."""
        done = {tier: len(self._journals[tier].rounds(part)) for tier in self._tiers}
        waiting = [tier for tier in self._tiers if done[tier] < rounds]
        if not waiting:
            return
        where = "both tiers" if len(waiting) > 1 else f"the {waiting[0]}"
        what = f"blocks on {where}" if part == _BLOCKS else f"{part} blocks on {where}"
        preparing = "compiling" if execution == "compiled" else "building"
        device, edge = (names if tier in waiting else () for tier in ("device", "edge"))
        prepare_both(self._agent, device, edge, execution, lambda share: self._advance(f"{preparing} {what}", share))
        total = warmup + rounds
        for number in range(warmup):
            self._round(waiting, names, execution, self._seed + number)
            self._advance(f"timing {what}", (number + 1) / total)
        for number in range(min(done[tier] for tier in waiting), rounds):
            due = [tier for tier in waiting if done[tier] <= number]
            for tier, times in self._round(due, names, execution, self._seed + warmup + number).items():
                self._journals[tier].append(part, times)
            self._advance(f"timing {what}", (warmup + number + 1) / total)

    def _round(self, tiers: Sequence[str], names: Sequence[str], execution: str, seed: int) -> dict[str, Times]:
        """Every piece of work once on each tier: in a few parts, the tiers in random turns."""
        generator = random.Random(seed)
        turns = []
        for tier in tiers:
            shuffled = generator.sample(names, len(names))
            turns += [(tier, part) for start in range(_TURNS) if (part := shuffled[start::_TURNS])]
        generator.shuffle(turns)
        times: dict[str, Times] = {tier: {} for tier in tiers}
        for tier, part in turns:
            call = self._agent.call if tier == "device" else self._agent.edge
            times[tier] |= call("time", works=part, execution=execution, seed=seed, gap_ms=0.0)
        return times


def _works(cuts: Sequence[CutRecord], last: int, encodings: Sequence[Encoding]) -> list[Work]:
    works = [Work.block(start, end) for start, end in [*fine_bounds(cuts, last), *scission_bounds(cuts, last)]]
    works.append(_empty(cuts))
    works += [Work.codec(Key("edge-only", None, "none", name)) for name in pictures.names()]
    works += [Work.codec(key) for key in _split_keys(cuts, encodings)]
    return list(dict.fromkeys(works))  # some of Scission's blocks are ours


def _split_keys(cuts: Sequence[CutRecord], encodings: Sequence[Encoding]) -> list[Key]:
    return [own.key(cut.index) for cut in cuts for own in encodings if own.infeasible_because(cut.shape) is None]


def _empty(cuts: Sequence[CutRecord]) -> Work:
    """A call without any layer, on the smallest tensor that crosses a cut."""
    return Work.block(cuts[-1].index, cuts[-1].index)


def fine_bounds(cuts: Sequence[CutRecord], last: int) -> list[tuple[int, int]]:
    """First and last layer (start excluded) of the blocks between consecutive cuts."""
    return list(itertools.pairwise([0, *(cut.index for cut in cuts), last]))


def scission_bounds(cuts: Sequence[CutRecord], last: int) -> list[tuple[int, int]]:
    """The same between consecutive cuts that the authors' finder sees."""
    return fine_bounds([cut for cut in cuts if cut.scission_cut], last)


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


# -- from rounds to a profile ---------------------------------------------------------------------------


def _by_work(journal: Journal, part: str) -> Measured:
    measured: Measured = defaultdict(lambda: defaultdict(list))
    for times in journal.rounds(part):
        for name, terms in times.items():
            for term, ms in terms.items():
                measured[name][term].append(ms)
    return measured


def _tier_profile(
    tier: str,
    fingerprint: dict[str, Any],
    cuts: tuple[CutRecord, ...],
    loaded: Mapping[str, Any],
    measured: Measured,
    eager: Measured,
) -> TierProfile:
    def timed(bounds: tuple[int, int], times: Measured = measured) -> TimedSlice:
        name = str(Work.block(*bounds))
        values = times[name][tier]
        return TimedSlice(name, *bounds, median(values), *bootstrap_median_interval(values, seed=0))

    fine = [timed(bounds) for bounds in fine_bounds(cuts, loaded["last"])]
    theirs = [timed(bounds) for bounds in scission_bounds(cuts, loaded["last"])]
    flags = find_flags([*fine, *theirs])
    require_usable(flags, f"the profile of the {tier}")
    features = loaded["features"]
    return TierProfile(
        tier=tier,
        fingerprint=fingerprint,
        cuts=cuts,
        last=loaded["last"],
        input_shape=tuple(loaded["input_shape"]),
        picture_bytes=loaded["pictures"],
        block_ms=tuple(block.ms for block in fine),
        block_low_ms=tuple(block.low_ms for block in fine),
        block_high_ms=tuple(block.high_ms for block in fine),
        scission_block_ms=tuple(block.ms for block in theirs),
        eager_scission_block_ms=tuple(timed((block.start, block.end), eager).ms for block in (theirs if eager else ())),
        call_ms=median(measured[str(_empty(cuts))][tier]),
        codec_ms={
            name.removeprefix("codec/"): {term: median(values) for term, values in terms.items()}
            for name, terms in measured.items()
            if name.startswith("codec/")
        },
        head_peak_bytes=tuple(features["head_peak_bytes"]),
        block_features=tuple(
            {kind: LayerFeatures(**counts) for kind, counts in block.items()} for block in features["blocks"]
        ),
        flags=flags,
    )
