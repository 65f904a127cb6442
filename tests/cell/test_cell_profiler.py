"""The plan of a profile and its medians, on a tier whose times are a formula."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import pytest

from harness.cell.profiler import prepare_both, profile_tiers
from harness.errors import DeviceError
from harness.profiling.work import Work
from harness.results.schema import Key

CUTS = [
    {"index": 1, "layer": "pad", "shape": [9, 9, 3], "scission_cut": True},
    {"index": 4, "layer": "conv", "shape": [4, 4, 8], "scission_cut": False},
    {"index": 5, "layer": "act", "shape": [4, 4, 8], "scission_cut": True},
    {"index": 8, "layer": "pool", "shape": [8], "scission_cut": True},
]
LOADED = {
    "cuts": CUTS,
    "last": 9,
    "input_shape": [9, 9, 3],
    "pictures": {"float32": 972, "uint8": 243, "jpeg": 200},
    "server": {},
}


class FormulaAgent:
    """FAKE agent: a block takes as many ms as it has layers, plus 100 x (the round modulo 3)."""

    def __init__(self) -> None:
        self.prepared: Counter[tuple[str, str]] = Counter()
        self.rounds = Counter[str]()

    def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
        return self._answer("device", name, arguments)

    def edge(self, verb: str, **arguments: Any) -> Any:
        return self._answer("edge", verb, arguments)

    def _answer(self, tier: str, verb: str, arguments: dict[str, Any]) -> Any:
        assert arguments["execution"] in ("compiled", "eager")
        if verb == "prepare":
            self.prepared.update((tier, name) for name in arguments["works"])
            return {}
        self.rounds[tier] += 1
        return {name: self._terms(tier, Work.parse(name)) for name in arguments["works"]}

    def _terms(self, tier: str, work: Work) -> dict[str, float]:
        noise = 100.0 * (self.rounds[tier] % 3)
        if work.kind == "codec":
            return {"serialize": 1.0 + noise} if tier == "device" else {"deserialize": 2.0 + noise}
        return {tier: work.end - work.start + noise}


def profiled(agent: FormulaAgent, rounds: int = 5, warmup: int = 2) -> Any:
    return profile_tiers(
        agent,
        LOADED,
        {"device": {"tier": "device"}, "edge": {"tier": "edge"}},
        transfer_layers=["none", "maxpool"],
        execution="eager",
        rounds=rounds,
        warmup=warmup,
        seed=0,
        advance=lambda what, share: None,
    )


def test_the_profile_is_the_median_of_the_timed_rounds_of_every_piece() -> None:
    agent = FormulaAgent()
    device, edge = profiled(agent)
    noise = median(100.0 * (number % 3) for number in range(3, 8))
    for tier, profile in (("device", device), ("edge", edge)):
        assert profile.tier == tier
        assert profile.fingerprint == {"tier": tier}
        assert profile.block_ms == tuple(layers + noise for layers in (1, 3, 1, 3, 1))
        assert profile.scission_block_ms == tuple(layers + noise for layers in (1, 4, 3, 1))
        assert (profile.last, profile.input_shape, profile.picture_bytes) == (9, (9, 9, 3), LOADED["pictures"])
    assert agent.rounds == {"device": 7, "edge": 7}
    splits = {
        str(Key("split", cut["index"], name)) for cut in CUTS for name in ("none", "maxpool") if len(cut["shape"]) == 3
    } | {"split/8/none/float32"}
    inputs = {f"edge-only/{name}" for name in ("float32", "uint8", "jpeg")}
    assert device.codec_ms == {key: {"serialize": 1.0 + noise} for key in splits | inputs}
    assert edge.codec_ms == {key: {"deserialize": 2.0 + noise} for key in splits | inputs}


def test_each_piece_is_compiled_once_on_each_tier() -> None:
    agent = FormulaAgent()
    profiled(agent, rounds=1, warmup=0)
    assert set(agent.prepared.values()) == {1}
    names = {tier: {name for own, name in agent.prepared if own == tier} for tier in ("device", "edge")}
    assert names["device"] == names["edge"]


def test_the_progress_of_preparing_ends_at_one_and_an_error_of_either_tier_comes_out() -> None:
    shares: list[float] = []
    prepare_both(FormulaAgent(), [f"head/0/{n}" for n in range(20)], ["tail/1/0"], "compiled", shares.append)
    assert shares[-1] == max(shares) == 1.0

    class Broken(FormulaAgent):
        def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
            raise DeviceError("the board is gone")

    with pytest.raises(DeviceError, match="the board is gone"):
        prepare_both(Broken(), ["head/0/1"], ["tail/1/0"], "compiled", shares.append)
