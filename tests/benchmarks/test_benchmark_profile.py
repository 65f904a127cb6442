"""What a profile costs, against the loop of the published tools: every layer called eagerly, one after another."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cell.journal import Journal
from harness.cell.profiler import Method, profile_tiers
from harness.dnn import zoo
from harness.offloader.edge import edge_call, edge_terms
from harness.prediction.monotonic import warning
from harness.prediction.profile import TierProfile
from harness.profiling.describe import describe
from harness.profiling.tier import Tier
from harness.profiling.timing import time_round
from harness.profiling.work import Work
from harness.transfer.encoding import RANKED

pytestmark = pytest.mark.tensorflow

SPEC = zoo.ModelSpec("mobilenetv2", "MobileNetV2", (224, 224, 3), "tf")
METHOD = Method(RANKED, "compiled", rounds=8, eager_rounds=3, warmup=2, seed=0)


class TierHere:
    """The edge tier in this process: what the server's `prepare` and `time` do, without a server."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
        raise AssertionError("only the edge is profiled here")

    def edge(self, verb: str, **arguments: Any) -> Any:
        works, execution = [Work.parse(text) for text in arguments["works"]], arguments["execution"]
        if verb == "time":
            return time_round(
                works,
                lambda work: edge_call(self._tier, work, execution),
                edge_terms,
                seed=arguments["seed"],
                gap_ms=arguments["gap_ms"],
            )
        for work in works:
            edge_call(self._tier, work, execution)()
        return {}


@pytest.fixture(scope="module")
def tier() -> Tier:
    return Tier(SPEC)


@pytest.fixture(scope="module")
def timed(tier: Tier, tmp_path_factory: pytest.TempPathFactory) -> tuple[TierProfile, float]:
    """The profile of the tier and the CPU time that it took, s: what others do on the host does not count."""
    loaded = describe(SPEC)
    journal = Journal(tmp_path_factory.mktemp("profile") / "edge.json", {})
    started = time.process_time()
    made = profile_tiers(
        TierHere(tier), loaded, {"edge": {}}, METHOD, journals={"edge": journal}, advance=lambda what, share: None
    )
    return made["edge"], time.process_time() - started


def test_a_cut_costs_a_profile_what_a_handful_of_layers_cost_an_eager_loop(
    tier: Tier, timed: tuple[TierProfile, float]
) -> None:
    """The eager loop gives one time a layer. A profile gives, for each cut, a compiled block, four codec times, its
    share of an eager block: CPU of 9 layers was measured, half of it for compiling."""
    profile, profile_s = timed
    started = time.process_time()
    for _ in range(METHOD.warmup + METHOD.rounds):
        eager_loop(tier)
    loop_s = time.process_time() - started
    per_cut = profile_s / len(profile.cuts)
    per_layer = loop_s / tier.last
    print(f"\nCPU: {profile_s:.1f} s a profile, {loop_s:.1f} s a loop; per cut {per_cut / per_layer:.1f} x per layer")
    assert per_cut < 20 * per_layer


def eager_loop(tier: Tier) -> None:
    """Every layer of the model called alone, eagerly, on what the layers before it gave."""
    outputs: dict[str, Any] = {tier.model.layers[0].name: tier.tensor(tier.input)}
    for layer in tier.model.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        values = [outputs[tensor._keras_history.operation.name] for tensor in sources]
        outputs[layer.name] = layer(values if len(values) > 1 else values[0])
        np.asarray(outputs[layer.name])


def test_a_real_profile_agrees_with_itself(tier: Tier, timed: tuple[TierProfile, float]) -> None:
    """Shares and ratios that hold on any host, however slow or busy."""
    profile, _ = timed
    blocks = np.array(profile.block_ms)
    assert (np.array(profile.block_low_ms) <= blocks).all()
    assert (blocks <= np.array(profile.block_high_ms)).all()
    assert profile.call_ms < np.median(blocks)  # a call without layers is cheaper than one with
    assert sum(profile.eager_scission_block_ms) > sum(profile.scission_block_ms)
    assert len(profile.head_peak_bytes) == len(profile.cuts)
    line = warning(profile.flags, "the profile")
    assert (line is None) == (not profile.flags)


def test_the_description_is_the_tier_s_own(tier: Tier) -> None:
    described = describe(SPEC)  # Keras numbers unnamed layers on, so names may differ
    unnamed = [{**asdict(cut), "layer": ""} for cut in tier.cuts]
    assert [{**cut, "layer": ""} for cut in described["cuts"]] == unnamed
    assert described["features"] == tier.graph_features()
    assert (described["last"], described["pictures"]["uint8"]) == (tier.last, 224 * 224 * 3)


def test_an_empty_block_gives_its_input_in_both_executions(tier: Tier, tmp_path: Path) -> None:
    cut = tier.cuts[-1].index
    x = tier.random(tier.shape(cut))
    for execution in ("compiled", "eager"):
        assert np.array_equal(np.asarray(tier.block(cut, cut, execution)(tier.tensor(x))), x)


def test_a_block_over_several_cuts_is_the_layers_traced_as_one(tier: Tier) -> None:
    start, end = tier.cuts[3].index, tier.cuts[12].index
    x = tier.tensor(tier.random(tier.shape(start)))
    compiled, eager = (np.asarray(tier.block(start, end, how)(x)) for how in ("compiled", "eager"))
    assert np.allclose(compiled, eager, rtol=1e-4, atol=1e-4 * np.abs(eager).max())
