"""Block times of a model that was never profiled, from what its layers are (NumPy).

The estimation-based family of Neurosurgeon (Kang et al., ASPLOS 2017): time is a sum over layer types, linear in
what a layer of that type has to do. Fitted per tier and host on the profiles of other models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.dnn.features import BlockFeatures, LayerFeatures, merged
from harness.errors import SpecError
from harness.prediction.curve import student_t95
from harness.prediction.profile import TierProfile

Array = NDArray[np.float64]

#: Families of layers whose cost has one shape. A convolution with a larger kernel runs at another speed than one
#: of 1x1, a matrix product; what is not named is moved or mapped byte by byte.
_FAMILIES = {
    "Conv2D 1x1": "pointwise",
    "Conv2D": "convolution",
    "DepthwiseConv2D": "depthwise",
    "SeparableConv2D": "separable",
    "Dense": "dense",
    "BatchNormalization": "normalisation",
    "Activation": "activation",
    "ReLU": "activation",
    "MaxPooling2D": "pooling",
    "AveragePooling2D": "pooling",
    "Concatenate": "concatenation",
    "Add": "arithmetic",
    "Multiply": "arithmetic",
}
_OTHER = "other"
#: What the time of a family is linear in. Weights are read from memory once a request, so they count where they are
#: many.
_MEASURES = {
    "pointwise": ("layers", "macs", "bytes", "parameters"),
    "convolution": ("layers", "macs", "bytes", "parameters"),
    "depthwise": ("layers", "macs", "bytes"),
    "separable": ("layers", "macs", "bytes"),
    "dense": ("parameters",),
}
_MEASURES_ELSE = ("layers", "bytes")
_COLUMNS = tuple(
    (family, measure)
    for family in (*dict.fromkeys(_FAMILIES.values()), _OTHER)
    for measure in _MEASURES.get(family, _MEASURES_ELSE)
)


@dataclass(frozen=True)
class BlockRegression:
    """Fitted block times.

    call_ms: the median cost of a call without any layer.
    coefficients: ms per unit of each measure of each family; none is negative.
    relative_error: half the 95 % interval of the sum of a model's blocks, or of any of its heads, as a share of
        the whole: from leaving each model out in turn.
    left_out: by model, the error of its whole when it was left out (fraction, positive: predicted too slow).
    """

    call_ms: float
    coefficients: Mapping[tuple[str, str], float]
    relative_error: float
    left_out: Mapping[str, float]

    def predict(self, features: Sequence[BlockFeatures]) -> tuple[Array, float]:
        """Times of blocks run one by one, in ms and in the order given, and `relative_error`."""
        return self.call_ms + self.work_ms(features), self.relative_error

    def work_ms(self, features: Sequence[BlockFeatures]) -> Array:
        """The same without the cost of a call each."""
        work: Array = _design(features) @ np.array([self.coefficients[column] for column in _COLUMNS])
        return work


def fit_regression(profiles: Sequence[TierProfile]) -> BlockRegression:
    """Fit block times to features by non-negative least squares, each block weighted by 1 / sqrt(its time).

    Fitted to fine blocks and to Scission's larger ones alike, so that what a call costs and what fusion saves are
    told from the layers' own work.

    Args:
        profiles: of one tier of one host, each of another model.

    Raises:
        SpecError: fewer than two models (nothing could be said about the error), or tiers or hosts mixed.
    """
    models = _by_model(profiles)
    whole = {name: np.cumsum(profile.block_ms) for name, profile in models.items()}
    left_out, worst = {}, []
    for name, own in models.items():
        fitted = _fit([profile for other, profile in models.items() if other != name])
        off = np.cumsum(fitted.predict(own.block_features)[0]) / whole[name][-1] - whole[name] / whole[name][-1]
        left_out[name] = float(off[-1])
        worst.append(float(np.abs(off).max()))
    spread = float(np.sqrt(np.mean(np.square(worst))))  # about 0, which is no estimated mean
    fitted = _fit(list(models.values()))
    return BlockRegression(fitted.call_ms, fitted.coefficients, student_t95(len(worst)) * spread, left_out)


def _by_model(profiles: Sequence[TierProfile]) -> dict[str, TierProfile]:
    models = {str(profile.fingerprint.get("model")): profile for profile in profiles}
    if len(models) < 2:
        raise SpecError(
            f"predictor=regression learns from profiles of other models and found {len(models)}; needed: 2 or more "
            "of this tier and host; make them with mode=profile model=mobilenetv2,resnet50,densenet121 (with -m)"
        )
    for what in ("tier", "host", "processor", "threads", "execution"):
        found = {str(profile.fingerprint.get(what)) for profile in profiles}
        if len(found) > 1:
            raise SpecError(f"predictor=regression was given profiles of several {what}s: {', '.join(sorted(found))}")
    return models


def _fit(profiles: Sequence[TierProfile]) -> BlockRegression:
    call_ms = float(np.median([profile.call_ms for profile in profiles]))
    features: list[BlockFeatures] = []
    times: list[float] = []
    for profile in profiles:
        features += [*profile.block_features, *scission_features(profile)]
        times += [*profile.block_ms, *profile.scission_block_ms]
    y = np.asarray(times)
    weights = 1 / np.sqrt(np.maximum(y, call_ms))
    design = _design(features)
    solution = non_negative_least_squares(design * weights[:, None], (y - call_ms) * weights)
    fitted = dict(zip(_COLUMNS, solution.tolist(), strict=True))
    seen = {column[0] for column, any_of_it in zip(_COLUMNS, design.any(axis=0), strict=True) if any_of_it}
    return BlockRegression(call_ms, fitted | _unseen(fitted, seen), float("nan"), {})


def _unseen(fitted: Mapping[tuple[str, str], float], seen: set[str]) -> dict[tuple[str, str], float]:
    """Coefficients of families that no profile has: a byte as the typical family moves it, a MAC and a parameter as
    the slowest known one takes it. Without them such layers would cost nothing."""
    stand_in = {"layers": 0.0}
    for measure, choose in (("bytes", np.median), ("macs", np.max), ("parameters", np.max)):
        known = [ms for (family, own), ms in fitted.items() if own == measure and family in seen]
        stand_in[measure] = float(choose(known)) if known else 0.0
    return {column: stand_in[column[1]] for column in fitted if column[0] not in seen}


def scission_features(profile: TierProfile) -> list[BlockFeatures]:
    """Features of the blocks between consecutive `scission_cut`s."""
    ends = [place + 1 for place, cut in enumerate(profile.cuts) if cut.scission_cut] + [len(profile.block_features)]
    starts = [0, *ends[:-1]]
    return [merged(profile.block_features[start:end]) for start, end in zip(starts, ends, strict=True)]


def _design(features: Sequence[BlockFeatures]) -> Array:
    """What each block has of each measure of each family, shape [blocks, columns]."""
    table = np.zeros((len(features), len(_COLUMNS)))
    place = {column: index for index, column in enumerate(_COLUMNS)}
    for row, block in enumerate(features):
        for kind, layer in block.items():
            family = _FAMILIES.get(kind) or _FAMILIES.get(kind.split()[0], _OTHER)
            for measure in _MEASURES.get(family, _MEASURES_ELSE):
                table[row, place[family, measure]] += _measure(layer, measure)
    return table


def _measure(layer: LayerFeatures, measure: str) -> float:
    if measure == "bytes":
        return layer.input_bytes + layer.output_bytes
    return float(getattr(layer, measure))


def non_negative_least_squares(a: Array, b: Array) -> Array:
    """The x >= 0 that minimises |a x - b| (Lawson and Hanson, Solving Least Squares Problems, 1974, ch. 23).

    Args:
        a: [rows, columns]; columns of any scale, those of zeros get 0.
        b: [rows].
    """
    scale = np.linalg.norm(a, axis=0)
    scaled = a / np.where(scale > 0, scale, 1.0)
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=bool)
    tolerance = 1e-10 * max(1.0, float(np.linalg.norm(b)))
    for _ in range(10 * a.shape[1]):
        gradient = scaled.T @ (b - scaled @ x)
        gradient[free | (scale == 0)] = -np.inf
        best = int(np.argmax(gradient))
        if gradient[best] <= tolerance:
            break
        free[best] = True
        x = _step_back(scaled, b, x, free)
    return np.divide(x, np.where(scale > 0, scale, 1.0))


def _step_back(a: Array, b: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """Least squares over the free columns; what would turn negative on the way is fixed at 0 (changes `free`)."""
    while free.any():
        wanted = np.zeros_like(x)
        wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        negative = free & (wanted <= 0)
        if not negative.any():
            return wanted
        share = np.min(x[negative] / np.maximum(x[negative] - wanted[negative], 1e-300))
        x = x + share * (wanted - x)
        free &= x > 1e-15
        x = np.where(free, x, 0.0)
    return np.zeros_like(x)
