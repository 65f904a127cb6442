"""Regression on features: exact where times are a sum over layers, honest about its error where they are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from harness.dnn.features import BlockFeatures, LayerFeatures
from harness.errors import SpecError
from harness.prediction.profile import CutRecord, TierProfile
from harness.prediction.regression import fit_regression, non_negative_least_squares, scission_features
from tests.prediction.synthetic_world import World

CALL_MS = 0.2
#: Truth in ms: a layer, a MAC, a byte read or written, a parameter.
TRUTH = {
    "Conv2D 1x1": (0.02, 1e-8, 0.0, 0.0),
    "Conv2D 3x3": (0.03, 2e-8, 0.0, 1e-7),
    "BatchNormalization": (0.001, 0.0, 3e-8, 0.0),
    "Activation": (0.002, 0.0, 2e-8, 0.0),
    "Concatenate": (0.0, 0.0, 1e-8, 0.0),
}


def work_ms(block: BlockFeatures) -> float:
    total = 0.0
    for kind, own in block.items():
        layer, mac, byte, parameter = TRUTH[kind]
        moved = own.input_bytes + own.output_bytes
        total += layer * own.layers + mac * own.macs + byte * moved + parameter * own.parameters
    return total


def random_block(random: np.random.Generator) -> BlockFeatures:
    kinds = random.choice(list(TRUTH), size=random.integers(1, 4), replace=False)
    return {
        str(kind): LayerFeatures(
            layers=int(random.integers(1, 4)),
            macs=int(random.integers(1e6, 3e8)) if kind.startswith("Conv") else 0,
            parameters=int(random.integers(1e3, 2e6)) if kind.startswith("Conv") else 0,
            input_bytes=int(random.integers(1e4, 3e6)),
            output_bytes=int(random.integers(1e4, 3e6)),
        )
        for kind in kinds
    }


def model(name: str, seed: int, blocks: int = 30, noise: float = 0.0) -> TierProfile:
    """A tier's profile whose times are the truth, each off by a relative `noise`."""
    random = np.random.default_rng(seed)
    features = tuple(random_block(random) for _ in range(blocks))
    cuts = tuple(CutRecord(place + 1, f"l{place}", (4, 4, 8), place % 3 == 0) for place in range(blocks - 1))
    base = replace(
        World(cuts=6).profiles().device,
        fingerprint={"model": name, "tier": "device", "host": "h", "threads": 1, "execution": "compiled"},
        cuts=cuts,
        last=blocks,
        block_features=features,
        head_peak_bytes=tuple(range(1_000, 1_000 + len(cuts))),
        eager_scission_block_ms=(),
        codec_ms={f"edge-only/{name}": {"serialize": 0.1} for name in ("float32", "uint8", "jpeg")},
        call_ms=CALL_MS,
    )

    def times(parts: list[BlockFeatures]) -> tuple[float, ...]:
        off = random.normal(1.0, noise, len(parts)) if noise else np.ones(len(parts))
        return tuple(float((CALL_MS + work_ms(part)) * factor) for part, factor in zip(parts, off, strict=True))

    fine, theirs = times(list(features)), times(scission_features(base))
    return replace(base, block_ms=fine, block_low_ms=fine, block_high_ms=fine, scission_block_ms=theirs)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_times_that_are_a_sum_over_layers_are_found_exactly(seed: int) -> None:
    own = model("new", seed + 100)
    fitted = fit_regression([model(f"m{number}", seed + number) for number in range(3)])
    predicted, error = fitted.predict(own.block_features)
    assert predicted == pytest.approx(np.array(own.block_ms), rel=1e-6)
    assert error < 1e-4
    assert fitted.work_ms(own.block_features) == pytest.approx(
        [work_ms(block) for block in own.block_features], rel=1e-5
    )
    assert all(ms >= 0 for ms in fitted.coefficients.values())


def test_its_interval_holds_the_truth_of_models_it_never_saw() -> None:
    """Every model runs at a speed of its own, which no feature tells: the interval must say so."""
    held, trials = 0, 60
    for trial in range(trials):
        speeds = np.random.default_rng(trial).normal(1.0, 0.1, 5)
        models = [faster(model(f"m{n}", 10 * trial + n, noise=0.02), float(speed)) for n, speed in enumerate(speeds)]
        fitted = fit_regression(models[:-1])
        predicted, error = fitted.predict(models[-1].block_features)
        whole = sum(models[-1].block_ms)
        held += abs(predicted.sum() / whole - 1) <= error
    assert held >= 0.9 * trials


def faster(profile: TierProfile, by: float) -> TierProfile:
    scaled = {
        name: tuple(ms * by for ms in getattr(profile, name))
        for name in ("block_ms", "block_low_ms", "block_high_ms", "scission_block_ms")
    }
    return replace(profile, **scaled)  # type: ignore[arg-type]


def test_models_that_differ_more_give_a_wider_interval() -> None:
    alike = fit_regression([model(f"m{n}", n, noise=0.01) for n in range(4)])
    unlike = fit_regression([faster(model(f"m{n}", n, noise=0.01), 1 + 0.3 * (n % 2)) for n in range(4)])
    assert unlike.relative_error > 3 * alike.relative_error
    assert set(unlike.left_out) == {"m0", "m1", "m2", "m3"}
    assert unlike.left_out["m0"] > 0 > unlike.left_out["m1"]


def test_layers_that_no_profile_has_are_not_free() -> None:
    fitted = fit_regression([model(f"m{n}", n) for n in range(3)])
    for kind in ("DepthwiseConv2D 3x3", "Resizing", "Dense", "SeparableConv2D 5x5"):
        work = fitted.work_ms([{kind: LayerFeatures(1, 10**7, 10**6, 10**6, 10**6)}])
        assert work[0] > 0.005


def test_the_order_of_profiles_does_not_matter() -> None:
    models = [model(f"m{n}", n, noise=0.05) for n in range(4)]
    forth, back = fit_regression(models), fit_regression(models[::-1])
    assert forth.relative_error == pytest.approx(back.relative_error, rel=1e-6)
    own = model("new", 50).block_features
    assert forth.predict(own)[0] == pytest.approx(back.predict(own)[0], rel=1e-6)


def test_too_few_models_or_mixed_tiers_are_refused_in_one_line() -> None:
    one = model("m0", 0)
    for profiles in ([], [one], [one, one]):
        with pytest.raises(SpecError, match="needed: 2 or more") as caught:
            fit_regression(profiles)
        assert "\n" not in str(caught.value)
    other = model("m1", 1)
    for key in ("tier", "host", "threads"):
        foreign = replace(other, fingerprint={**other.fingerprint, key: "elsewhere"})
        with pytest.raises(SpecError, match=f"several {key}s"):
            fit_regression([one, foreign])


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40), st.floats(-9, 9))
@settings(deadline=None)
def test_non_negative_least_squares_is_as_good_as_scipy_s(seed: int, columns: int, rows: int, decades: float) -> None:
    random = np.random.default_rng(seed)
    a = random.standard_normal((rows, columns)) * 10.0 ** random.uniform(-abs(decades), abs(decades), columns)
    a[:, random.random(columns) < 0.1] = 0.0
    b = random.standard_normal(rows)
    x = non_negative_least_squares(a, b)
    assert (x >= 0).all()
    scale = np.linalg.norm(a, axis=0)
    _, theirs = nnls(a / np.where(scale > 0, scale, 1.0), b)
    assert np.linalg.norm(a @ x - b) <= theirs + 1e-6
