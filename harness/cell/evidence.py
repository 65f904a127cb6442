"""What the cell's predictor is fitted on, gathered from the profile folder (no TensorFlow)."""

from __future__ import annotations

from harness.cell import history, library
from harness.cell.cache import calibration_fingerprint
from harness.errors import SpecError
from harness.prediction import drift
from harness.prediction.circumstances import Circumstances, require_predictable
from harness.prediction.predictors import Evidence
from harness.prediction.profile import Calibration, ModelFeatures, Profiles, TierProfile
from harness.prediction.profile_io import load_calibration
from harness.spec import Spec
from harness.testbed.link import link_spec, variability

#: The predictor that learns from other models and needs no profile of the cell's own.
FROM_OTHERS = "regression"
#: What a calibration must share with the cell's for its fixed costs to be the cell's too.
_SAME = ("slowdown", "cpus", "versions", "communicator")


def gather(spec: Spec, profiles: Profiles | None, *, drifted: bool = False) -> Evidence:
    """Evidence for the cell's predictor.

    Args:
        profiles: of the cell's own model; None where it was never profiled, which only `regression` can do with.
        drifted: the host may have changed since the profiles were made: count in what it has shown so far.
    """
    drift_error = (drift.relative_error(history.observed(spec)) or 0.0) if drifted else 0.0
    if spec.predictor.name != FROM_OTHERS:
        return Evidence(profiles, drift_error=drift_error)
    features = _features_of(profiles.device, spec) if profiles else library.model_features(spec)
    return Evidence(profiles, drift_error=drift_error, features=features, others=tuple(other_pairs(spec)))


def circumstances_of(spec: Spec) -> Circumstances | None:
    """How the cell's requests meet the link; None where that cannot be predicted and the mode does without.

    Raises:
        SpecError: it cannot be predicted, and predicting is what the mode is for.
    """
    found = Circumstances(spec.measure.connection, spec.measure.pause_ms, spec.measure.samples, variability(spec).trace)
    link = link_spec(spec)
    plain = link.impairments_up.none and link.impairments_down.none
    largest_bytes = None if plain else library.largest_payload_bytes(spec)
    try:
        require_predictable(link, found, largest_bytes)
    except SpecError:
        if spec.mode in ("predict", "validate"):
            raise
        return None
    return found


def other_pairs(spec: Spec) -> list[Profiles]:
    """Whole profiles of other models on the cell's pair of tiers, each with its newest fitting calibration."""
    tiers = {tier: {_model(own): own for own in library.other_models(spec, tier)} for tier in ("device", "edge")}
    found = []
    for name in tiers["device"].keys() & tiers["edge"].keys():
        device, edge = tiers["device"][name], tiers["edge"][name]
        calibration = _calibration(spec, device, edge)
        if calibration is not None:
            found.append(Profiles(device, edge, calibration))
    return sorted(found, key=lambda pair: _model(pair.device))


def _calibration(spec: Spec, device: TierProfile, edge: TierProfile) -> Calibration | None:
    wanted = calibration_fingerprint(spec)
    paths = spec.profile_dir.glob(f"{_model(device)}-*-calibration-*.json")
    found = []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            calibration = load_calibration(path)
        except SpecError:
            continue  # another version, or broken: whoever needs that very file is told
        own = calibration.fingerprint
        tiers = own.get("device") == device.fingerprint and own.get("edge") == edge.fingerprint
        if tiers and all(own.get(key) == wanted.get(key) for key in _SAME):
            found.append(calibration)
    # What an encoding costs is best told by anchors in it.
    same = [own for own in found if own.fingerprint.get("transfer_layer") == wanted["transfer_layer"]]
    return next(iter(same + found), None)


def _features_of(profile: TierProfile, spec: Spec) -> ModelFeatures:
    return ModelFeatures(
        model=spec.model.name,
        content=str(profile.fingerprint.get("content")),
        cuts=profile.cuts,
        last=profile.last,
        input_shape=profile.input_shape,
        picture_bytes=profile.picture_bytes,
        head_peak_bytes=profile.head_peak_bytes,
        block_features=profile.block_features,
    )


def _model(profile: TierProfile) -> str:
    return str(profile.fingerprint["model"])
