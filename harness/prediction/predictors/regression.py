"""For a model that was never profiled: block times from what its layers are, fitted on profiles of other models.

The estimation-based family of Neurosurgeon (Kang et al., ASPLOS 2017). What is not compute (gRPC, the server, codecs)
is taken from the other models' calibrations of the same pair of tiers; the link is the same theory as `calibrated`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.errors import SpecError
from harness.prediction.codecs import Line
from harness.prediction.fitting import Parameters, fit
from harness.prediction.link_theory import Array
from harness.prediction.predictors.base import Evidence, Model, Predictor
from harness.prediction.predictors.calibrated import CalibratedModel
from harness.prediction.profile import ModelFeatures, Profiles, TierProfile
from harness.prediction.regression import BlockRegression, fit_regression


class Regression(Predictor):
    """Needs the model's features and profiles of at least two other models."""

    name = "regression"

    def fit(self, evidence: Evidence) -> Model:
        features = evidence.features
        if features is None:
            raise SpecError("predictor=regression needs what the model's layers are; make it with mode=profile")
        others = evidence.others
        device = fit_regression([pair.device for pair in others])
        edge = fit_regression([pair.edge for pair in others])
        return CalibratedModel(_parameters(features, device, edge, others), evidence.drift_error)


def _parameters(
    features: ModelFeatures, device: BlockRegression, edge: BlockRegression, others: Sequence[Profiles]
) -> Parameters:
    """As `fit` would give, heads and tails from regression, all else the median of the others'."""
    known = [fit(pair) for pair in others]
    on_device = _cumulative_ms(
        device, features, [pair.device for pair in others], [own.head_ms[own.last] for own in known]
    )
    on_edge = _cumulative_ms(edge, features, [pair.edge for pair in others], [own.tail_ms[0] for own in known])
    indices = [0, *(cut.index for cut in features.cuts), features.last]
    head_ms = dict(zip(indices, (device.call_ms + on_device).tolist(), strict=True))
    tail_ms = dict(zip(indices, (edge.call_ms + on_edge[-1] - on_edge).tolist(), strict=True))
    return Parameters(
        head_ms=head_ms,
        tail_ms=tail_ms,
        head_error_ms=dict.fromkeys(indices, device.relative_error * head_ms[features.last]),
        tail_error_ms=dict.fromkeys(indices, edge.relative_error * tail_ms[0]),
        last=features.last,
        codec={
            term: _typical_line([own.codec[term] for own in known if term in own.codec])
            for term in dict.fromkeys(term for own in known for term in own.codec)
        },
        input_codec_ms=_typical_codecs(known),
        uplink_excess=_typical_line([own.uplink_excess for own in known]),
        queue=_typical_line([own.queue for own in known]),
        downlink_excess_ms=_median(known, lambda own: own.downlink_excess_ms),
        other_ms=_median(known, lambda own: own.other_ms),
        response_bytes=int(_median(known, lambda own: own.response_bytes)),
        compute_spread=_median(known, lambda own: own.compute_spread),
        network_spread_ms=_median(known, lambda own: own.network_spread_ms),
        compute_tail=_median(known, lambda own: own.compute_tail),
        network_tail_ms=_median(known, lambda own: own.network_tail_ms),
    )


def _cumulative_ms(
    fitted: BlockRegression, features: ModelFeatures, others: Sequence[TierProfile], whole_ms: Sequence[float]
) -> Array:
    """Work up to each cut and over the whole model, ms; shape [cuts + 2], 0 first.

    Layers that are compiled together cost less than block by block; by how much is the median of what the other
    models show, whole in a request against the sum of their fitted blocks.
    """
    together = [
        (whole - fitted.call_ms) / max(float(fitted.work_ms(profile.block_features).sum()), 1e-9)
        for profile, whole in zip(others, whole_ms, strict=True)
    ]
    work_ms = fitted.work_ms(features.block_features) * float(np.median(together))
    return np.concatenate(([0.0], np.cumsum(work_ms)))


def _typical_line(lines: Sequence[Line]) -> Line:
    return float(np.median([line[0] for line in lines])), float(np.median([line[1] for line in lines]))


def _typical_codecs(known: Sequence[Parameters]) -> dict[str, dict[str, float]]:
    """By wire format and term; pictures differ in size, but in all models by a factor below two."""
    found: dict[str, dict[str, list[float]]] = {}
    for own in known:
        for name, terms in own.input_codec_ms.items():
            for term, ms in terms.items():
                found.setdefault(name, {}).setdefault(term, []).append(ms)
    return {name: {term: float(np.median(values)) for term, values in terms.items()} for name, terms in found.items()}


def _median(known: Sequence[Parameters], value: Callable[[Parameters], float]) -> float:
    return float(np.median([value(own) for own in known]))
