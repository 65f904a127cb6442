"""The plan of a profile and its medians, on a tier whose times are a formula."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from harness.cell.journal import Journal
from harness.cell.profiler import Method, prepare_both, profile_tiers
from harness.dnn.features import LayerFeatures
from harness.errors import DeviceError
from harness.prediction.profile import TierProfile
from harness.profiling.work import Work
from harness.results.schema import Key
from harness.transfer.encoding import RANKED, Encoding

CUTS = [
    {"index": 1, "layer": "pad", "shape": [9, 9, 3], "scission_cut": True},
    {"index": 4, "layer": "conv", "shape": [4, 4, 8], "scission_cut": False},
    {"index": 5, "layer": "act", "shape": [4, 4, 8], "scission_cut": True},
    {"index": 8, "layer": "pool", "shape": [8], "scission_cut": True},
]
COUNTS = {"layers": 1, "macs": 900, "parameters": 9, "input_bytes": 40, "output_bytes": 80}
LOADED = {
    "cuts": CUTS,
    "last": 9,
    "input_shape": [9, 9, 3],
    "pictures": {"float32": 972, "uint8": 243, "jpeg": 200},
    "features": {"blocks": [{"Conv2D 3x3": COUNTS}] * 5, "head_peak_bytes": [10, 20, 20, 30]},
    "server": {},
}


class FormulaAgent:
    """FAKE agent: a block takes as many ms as it has layers (eager: ten times that), plus 100 x (the round modulo 3).

    A round is known by its seed.
    """

    def __init__(self) -> None:
        self.prepared: Counter[tuple[str, str, str]] = Counter()
        self.timed: Counter[tuple[str, str, int, str]] = Counter()
        self.turns: list[str] = []

    def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
        return self._answer("device", name, arguments)

    def edge(self, verb: str, **arguments: Any) -> Any:
        return self._answer("edge", verb, arguments)

    def rounds(self, tier: str, execution: str) -> set[int]:
        return {seed for own, how, seed, _ in self.timed if (own, how) == (tier, execution)}

    def _answer(self, tier: str, verb: str, arguments: dict[str, Any]) -> Any:
        if verb == "sizes":
            return {key: 10 * len(key) for key in arguments["keys"]}
        execution = arguments["execution"]
        if verb == "prepare":
            self.prepared.update((tier, execution, name) for name in arguments["works"])
            return {}
        self.turns.append(tier)
        self.timed.update((tier, execution, arguments["seed"], name) for name in arguments["works"])
        return {name: self._terms(tier, Work.parse(name), arguments) for name in arguments["works"]}

    def _terms(self, tier: str, work: Work, arguments: dict[str, Any]) -> dict[str, float]:
        noise = 100.0 * (arguments["seed"] % 3)
        if work.kind == "codec":
            return {"serialize": 1.0 + noise} if tier == "device" else {"deserialize": 2.0 + noise}
        return {tier: (10.0 if arguments["execution"] == "eager" else 1.0) * (work.end - work.start) + noise}


def journals(folder: Path) -> dict[str, Journal]:
    return {tier: Journal(folder / f"{tier}.json", {"tier": tier}) for tier in ("device", "edge")}


def profiled(
    agent: Any,
    folder: Path,
    rounds: int = 5,
    warmup: int = 2,
    tiers: Sequence[str] = ("device", "edge"),
    eager_rounds: int = 3,
    encodings: Sequence[Encoding] = RANKED,
) -> dict[str, TierProfile]:
    return profile_tiers(
        agent,
        LOADED,
        {tier: {"tier": tier} for tier in tiers},
        Method(tuple(encodings), "compiled", rounds, eager_rounds=eager_rounds, warmup=warmup, seed=0),
        journals=journals(folder),
        advance=lambda what, share: None,
    )


def test_the_profile_is_the_median_of_the_timed_rounds_of_every_piece(tmp_path: Path) -> None:
    agent = FormulaAgent()
    made = profiled(agent, tmp_path)
    device, edge = made["device"], made["edge"]
    noise = median(100.0 * (number % 3) for number in range(2, 7))
    eager_noise = median(100.0 * (number % 3) for number in range(1, 4))
    for tier, profile in (("device", device), ("edge", edge)):
        assert profile.tier == tier
        assert profile.fingerprint == {"tier": tier}
        assert profile.block_ms == tuple(layers + noise for layers in (1, 3, 1, 3, 1))
        assert all(low <= ms <= high for low, ms, high in intervals(profile))
        assert profile.block_low_ms != profile.block_high_ms
        assert profile.scission_block_ms == tuple(layers + noise for layers in (1, 4, 3, 1))
        assert profile.eager_scission_block_ms == tuple(10 * layers + eager_noise for layers in (1, 4, 3, 1))
        assert profile.call_ms == noise
        assert profile.head_peak_bytes == (10, 20, 20, 30)
        assert profile.block_features == ({"Conv2D 3x3": LayerFeatures(**COUNTS)},) * 5
        assert profile.flags == ()
        assert (profile.last, profile.input_shape, profile.picture_bytes) == (9, (9, 9, 3), LOADED["pictures"])
        assert (len(agent.rounds(tier, "compiled")), len(agent.rounds(tier, "eager"))) == (7, 4)
    assert set(agent.timed.values()) == {1}
    splits = {
        str(Key("split", cut["index"], name)) for cut in CUTS for name in ("none", "maxpool") if len(cut["shape"]) == 3
    } | {"split/8/none/float32"}
    inputs = {f"edge-only/{name}" for name in ("float32", "uint8", "jpeg")}
    assert device.codec_ms == {key: {"serialize": 1.0 + noise} for key in splits | inputs}
    assert edge.codec_ms == {key: {"deserialize": 2.0 + noise} for key in splits | inputs}


def test_sizes_that_depend_on_the_content_come_from_the_device(tmp_path: Path) -> None:
    own = [Encoding("bottleneck", "uint8"), Encoding("maxpool:pool=3", "uint8+zlib"), Encoding("none", "uint8+jpeg")]
    made = profiled(FormulaAgent(), tmp_path, encodings=[*RANKED, *own])
    spatial = [cut["index"] for cut in CUTS if len(cut["shape"]) == 3]
    sized = {str(encoding.key(index)) for encoding in own[1:] for index in spatial}
    assert made["device"].payload_bytes == {key: 10 * len(key) for key in sized}
    assert made["edge"].payload_bytes == {}
    for profile in made.values():
        assert profile.codec_ms.keys() >= {str(encoding.key(index)) for encoding in own for index in spatial}


def intervals(profile: TierProfile) -> Iterator[tuple[float, float, float]]:
    return zip(profile.block_low_ms, profile.block_ms, profile.block_high_ms, strict=True)


def test_each_piece_is_compiled_once_on_each_tier(tmp_path: Path) -> None:
    agent = FormulaAgent()
    profiled(agent, tmp_path, rounds=1, warmup=0)
    assert set(agent.prepared.values()) == {1}
    names = {tier: {(how, name) for own, how, name in agent.prepared if own == tier} for tier in ("device", "edge")}
    assert names["device"] == names["edge"]


def test_the_tiers_take_turns_within_a_round(tmp_path: Path) -> None:
    agent = FormulaAgent()
    profiled(agent, tmp_path)
    changes = sum(before != after for before, after in itertools.pairwise(agent.turns))
    assert changes > len(agent.turns) / 4  # never one tier's rounds first and then the other's


def test_without_eager_rounds_nothing_runs_eagerly(tmp_path: Path) -> None:
    agent = FormulaAgent()
    made = profiled(agent, tmp_path, eager_rounds=0)
    assert {profile.eager_scission_block_ms for profile in made.values()} == {()}
    assert agent.rounds("device", "eager") == agent.rounds("edge", "eager") == set()


def test_a_tier_can_be_profiled_without_its_partner(tmp_path: Path) -> None:
    both = profiled(FormulaAgent(), tmp_path / "both")
    agent = FormulaAgent()
    alone = profiled(agent, tmp_path / "alone", tiers=["edge"])
    assert alone == {"edge": both["edge"]}
    assert {tier for tier, *_ in [*agent.prepared, *agent.timed]} == {"edge"}


def test_the_progress_of_preparing_ends_at_one_and_an_error_of_either_tier_comes_out() -> None:
    shares: list[float] = []
    prepare_both(FormulaAgent(), [f"head/0/{n}" for n in range(20)], ["tail/1/0"], "compiled", shares.append)
    assert shares[-1] == max(shares) == 1.0

    class Broken(FormulaAgent):
        def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
            raise DeviceError("the board is gone")

    with pytest.raises(DeviceError, match="the board is gone"):
        prepare_both(Broken(), ["head/0/1"], ["tail/1/0"], "compiled", shares.append)
