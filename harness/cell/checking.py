"""What is wrong with a cell, found before anything of it exists."""

from __future__ import annotations

from harness.cell import accuracy, encodings, reaching, remote
from harness.cell.cache import ProfileCache
from harness.cell.evidence import FROM_OTHERS, circumstances_of
from harness.cell.forecasting import facts
from harness.errors import SpecError
from harness.spec import Spec


def check(spec: Spec) -> None:
    """Find what is wrong with a cell before anything of it exists.

    Raises:
        SpecError: its link, transfer layer or wire format is impossible, its weights file is missing, or mode=predict
            has no profile to predict from. `measure.splits` or `constraints` name what the cached profile lacks.
    """
    from harness.prediction import constraints
    from harness.prediction.circumstances import plain
    from harness.prediction.selection import require_cuts
    from harness.testbed.link import link_spec

    link_spec(spec)
    remote.check(spec)
    if spec.mode == "train":
        from harness.cell import training

        training.check(spec)
        return
    if spec.mode == "deploy":
        from harness.cell import deploying

        deploying.check(spec)
        return
    reaching.check(spec)
    if spec.hardware.edge.deployment is not None or spec.hardware.edge.endpoint != "multiplexed":
        from harness.cell import deployed

        deployed.check(spec)
    encodings.ranked(spec)
    accuracy.check(spec)
    if spec.leakage.enabled and spec.mode != "profile":
        raise SpecError(
            f"leakage.enabled=true: mode={spec.mode} does not measure what the cuts reveal; allowed: mode=profile"
        )
    _check_selftest(spec)
    _check_whatif(spec)
    if spec.hardware.kind == "recorded":
        from harness.cell import recorded

        if left_out_because(spec) is None:
            recorded.check(spec)
        return
    circumstances = circumstances_of(spec)
    if spec.whatif.asked and not plain(link_spec(spec), circumstances):
        raise SpecError(
            "whatif: a grid is predicted for constant links without jitter or loss; allowed: link=static with "
            "link.jitter_ms, link.loss and the like left null"
        )
    cache = ProfileCache(spec)
    if spec.mode == "predict" and spec.predictor.name != FROM_OTHERS:
        cache.require()
    tiers = cache.tiers()
    if tiers is not None:
        constraints.require(spec.constraints, facts(spec, *tiers[:2]))
    if tiers is not None and not isinstance(spec.measure.splits, str):
        require_cuts(spec.measure.splits, [cut.index for cut in tiers[0].cuts])


def left_out_because(spec: Spec) -> str | None:
    """Why a cell on recorded hardware is left out, None for one that is run."""
    if spec.hardware.kind != "recorded":
        return None
    from harness.cell import unrecorded

    return unrecorded.reason(spec)


def _check_selftest(spec: Spec) -> None:
    """A self-test that cannot be done would pass for one that was."""
    if not spec.gate.selftest or spec.mode != "validate":
        return
    if not spec.gate.enabled:
        raise SpecError("gate.selftest=true: with gate.enabled=false there is no gate to test; allowed: one of the two")
    if spec.link.name != "static":
        raise SpecError(
            f"gate.selftest=true needs a verdict, and link={spec.link.name} has none: its rate changes while requests "
            "are measured; allowed: link=static"
        )
    if not spec.hardware.has_edge:
        raise SpecError(
            f"gate.selftest=true: most faults are planted into what crosses a link, and hardware={spec.hardware.name} "
            "has no edge; allowed: a pair of tiers"
        )


def _check_whatif(spec: Spec) -> None:
    """Raise SpecError for a grid under a time limit, which is judged on the cell's own link and device alone."""
    for name in ("max_latency_ms", "max_device_ms", "max_edge_ms", "max_device_share", "max_edge_share"):
        if spec.whatif.asked and getattr(spec.constraints, name) is not None:
            raise SpecError(
                f"constraints.{name} says nothing of the other links and paces of a grid; allowed with several "
                "bandwidths, latencies or paces: null (the time of the winner is in whatif.csv)"
            )
