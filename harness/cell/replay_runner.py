"""Measures a cell of which a tier is replayed: profiles the other one, if it computes here, and calibrates the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from harness.cell import encodings
from harness.cell.library import keep_features
from harness.cell.measuring import CellRunner
from harness.cell.profiler import Advance, prepare_both
from harness.cell.replaying import Replay, edgeless
from harness.offloader.runner import Request, anchor, echo
from harness.prediction.profile import Calibration, Profiles, TierProfile
from harness.prediction.recording import Recording, restricted
from harness.profiling.work import Work
from harness.results.schema import Key, Sample
from harness.spec import Spec
from harness.testbed.local import LocalTestbed

#: Splits among the anchors of a pair that computes nothing. Heads and tails are known; what is asked of an anchor is
#: what the server adds after a tier has been busy.
_SPLITS = 2


class ReplayRunner(CellRunner):
    """As `CellRunner`, with recordings in place of one tier's profile or of both.

    Nothing is kept in the cache but the profile of a tier that computes: what a recording says is on disk already,
    and what the link adds takes seconds to find.

    Args:
        replay: what the testbed's `load` was given.
    """

    def __init__(self, spec: Spec, bed: LocalTestbed, loaded: dict[str, Any], advance: Advance, replay: Replay) -> None:
        super().__init__(spec, bed, loaded, advance)
        self._replay = replay
        self._computing = tuple(tier for tier in ("device", "edge") if tier not in replay.recordings)
        if not spec.hardware.has_edge:
            self._computing = ()

    def profiles(self) -> Profiles:
        """Recordings as they are, the other tier from the cache or profiled now, and a calibration of what is left."""
        tiers = self._both_tiers()
        return Profiles(
            tiers["device"],
            tiers["edge"],
            self._calibration(tiers["device"]),
            self._replay.recordings,
            forced={tier: own for tier, own in self._cache.forced.items() if tier in self._computing},
        )

    def profile_files(self) -> dict[str, str]:
        """The cached profile of the tier that computes, if one does."""
        return {name: text for name, text in super().profile_files().items() if name in self._computing}

    def _both_tiers(self) -> dict[str, TierProfile]:
        if not self._computing:
            own = self._replay.profiles
            return own if "edge" in own else {**own, "edge": edgeless(own["device"])}
        (tier,) = self._computing
        if tier == "device":
            keep_features(self._spec, self._loaded)
        whole = self._tiers((tier,))[tier]
        self._replay = self._replay.beside(whole.cuts, whole.last, whole.picture_bytes)
        (recorded,) = self._replay.profiles.values()
        return {**self._replay.profiles, tier: restricted(whole, [cut.index for cut in recorded.cuts])}

    # -- calibration ------------------------------------------------------------------------------------

    def _anchor_keys(self, device: TierProfile) -> list[Key]:
        recordings = self._replay.recordings.values()
        if self._computing:
            return [key for key in super()._anchor_keys(device) if all(own.covers(key) for own in recordings)]
        if not self._spec.hardware.has_edge:
            return [Key("device-only")]
        return _quick_anchors(self._replay.recordings["device"], encodings.own(self._spec).transfer_layer)

    def _calibrating(self, anchors: Iterable[Key], pause_ms: float = 0.0) -> list[Request]:
        if self._spec.hardware.has_edge:
            return super()._calibrating(anchors, pause_ms)
        return [anchor(key, pause_ms) for key in anchors]

    def _reduce(self, observed: Sequence[tuple[Request, Sample]]) -> Calibration:
        if self._spec.hardware.has_edge:
            return super()._reduce(observed)
        return _alone([sample for _, sample in observed], self._spec.hardware.device.slowdown, self._bed.link.as_dict())

    # -- before the clock runs --------------------------------------------------------------------------

    def _prepare(self, keys: Sequence[Key], what: str) -> None:
        """Compile on the tier that computes."""
        last = self._last()
        heads = sorted({key.split or last for key in keys if key.candidate != "edge-only"})
        tails = sorted({key.split or 0 for key in keys if key.candidate != "device-only"})
        codecs = [str(Work.codec(key)) for key in keys if key.candidate != "device-only"]
        works = {
            "device": [str(Work.head(cut)) for cut in heads] + codecs,
            "edge": [str(Work.tail(cut)) for cut in tails] + codecs,
        }
        device, edge = (works[tier] if tier in self._computing else [] for tier in ("device", "edge"))
        prepare_both(self._bed.agent, device, edge, "compiled", lambda share: self._advance(what, share))

    def _warm(self, requests: Sequence[Request], rounds: int) -> None:
        """As for tiers that compute; a device that only waits is not made to."""
        if self._computing:
            super()._warm(requests, rounds)
            return
        tcp = self._spec.link.tcp
        if self._spec.hardware.has_edge and tcp.warmup_transfers:
            self._runner.warm([echo(tcp.warmup_bytes)] * tcp.warmup_transfers)
        for number in range(rounds):
            self._runner.warm(requests)
            self._advance("warming up", (number + 1) / rounds)

    def _last(self) -> int:
        return next(iter(self._replay.recordings.values())).last


def _quick_anchors(recording: Recording, transfer_layer: str) -> list[Key]:
    """The pictures, and the splits of the shortest heads."""
    keys = [Key.parse(text) for text in recording.terms_ms]
    splits = sorted(
        (key for key in keys if key.split is not None and key.transfer_layer == transfer_layer),
        key=lambda key: recording.own_ms(key, "device") or 0.0,
    )
    return [*(key for key in keys if key.candidate == "edge-only"), *splits[:_SPLITS]]


def _alone(samples: Sequence[Sample], slowdown: float, link: dict[str, Any]) -> Calibration:
    """Of a device without an edge: there is nothing between the two to calibrate."""
    return Calibration(
        fingerprint={},
        anchors={"device-only": {"device": median(sample.terms["device"] for sample in samples) / slowdown}},
        echoes={1: {"uplink_excess": 0.0, "queue": 0.0}},
        downlink_excess_ms=0.0,
        other_ms=0.0,
        response_bytes=0,
        compute_spread=0.0,
        network_spread_ms=0.0,
        compute_tail=0.0,
        network_tail_ms=0.0,
        link=link,
    )
