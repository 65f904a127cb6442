"""Recordings to be replayed: from the authors' profiles, or from profiles of ours that were made elsewhere (pure).

What the authors recorded of a request is its blocks, DeviceTL, EdgeTL and the conversion of the smaller tensor. The
conversion of anything else (S_Orig, the picture of edge-only) stands in no file: it is estimated, and said so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from harness.errors import SpecError
from harness.prediction.candidates import enumerate_rows
from harness.prediction.fitting import line_through
from harness.prediction.predictors import Evidence, fit
from harness.prediction.profile import CutRecord, Profiles, TierProfile
from harness.prediction.recorded import NPY_HEADER_BYTES, LayerBenchmark
from harness.prediction.recorded_model import PICTURE_BYTES, RECORDED_TL, tails_ms
from harness.prediction.recorded_pair import TRITON, RecordedPair, RecordedTier
from harness.prediction.recording import REPLAYED_TERMS, Estimate, Recording
from harness.results.schema import Key
from harness.transfer import pictures
from harness.transfer.encoding import Encoding
from netem.link import LinkSpec

_FLOAT32_BYTES = 4
#: The time of a tier does not depend on the link, but a model is asked for a link.
_ANY_LINK = LinkSpec(rate_up_mbps=57.0, rate_down_mbps=1000.0, delay_up_ms=14.0, delay_down_ms=14.0)

_LINE = (
    "recorded nowhere: the line, by bytes, through the {count} conversions of smaller tensors that were recorded on "
    "{system} (least squares), from {least} to {most} B"
)
_STAND_IN = "under Triton recorded nowhere: those of the {system} recording in eager TensorFlow stand in"


def recordings_of(pair: RecordedPair, *, input_shape: Sequence[int]) -> dict[str, Recording]:
    """What the authors recorded, by tier; without an edge the device alone, and device-only with it.

    Payloads are tensors without the .npy header that the recorded sizes include.

    Args:
        input_shape: height, width and channels of the picture that edge-only sends.
    """
    found = {"device": _device(pair, input_shape)}
    if pair.edge is not None and pair.edge_tf is not None:
        found["edge"] = _edge(pair, pair.edge, pair.edge_tf, input_shape)
    return found


def profile_of(pair: RecordedPair, recording: Recording, *, input_shape: Sequence[int]) -> TierProfile:
    """A recording as a profile of ours: the same blocks, eager in every column, no call cost, no memory.

    A tensor's shape was not recorded, its size was: it stands as one axis, or as three where a transfer layer was
    possible.
    """
    blocks = pair.device.blocks if recording.tier == "device" or pair.edge_tf is None else pair.edge_tf.blocks
    times = tuple(1e3 * block.compute_s for block in blocks)
    return TierProfile(
        tier=recording.tier,
        fingerprint={"model": pair.model, "content": "as recorded", "tier": recording.tier, "host": recording.system},
        cuts=tuple(_cut(block) for block in pair.device.blocks[:-1]),
        last=pair.last,
        input_shape=tuple(input_shape),
        picture_bytes={name: PICTURE_BYTES.get(name, 0) * math.prod(input_shape) for name in pictures.names()},
        block_ms=times,
        block_low_ms=times,
        block_high_ms=times,
        scission_block_ms=times,
        eager_scission_block_ms=times,
        call_ms=0.0,
        codec_ms=recording.terms_ms,
        head_peak_bytes=(0,) * (len(blocks) - 1),
        block_features=({},) * len(blocks),
    )


def recordings_from(profiles: Profiles, *, source: Mapping[str, str]) -> dict[str, Recording]:
    """A profile of ours as recordings of both tiers: heads and tails through its anchors, at its own pace.

    Raises:
        SpecError: the two tiers were not profiled with the same transfer layers.
    """
    timed = [Key.parse(text) for text in profiles.device.codec_ms if text in profiles.edge.codec_ms]
    encodings = list(dict.fromkeys(Encoding.of(key) for key in timed if key.split and key.wire_format == "float32"))
    if not encodings:
        raise SpecError("hardware.profiles: the two profiles have no transfer layer in common; allowed: of one pair")
    rows = enumerate_rows(profiles.device, encodings=encodings, min_split=0)
    known = fit("calibrated", Evidence(profiles)).predict(_ANY_LINK, rows).predictions()
    found = {}
    for tier, own in (("device", profiles.device), ("edge", profiles.edge)):
        terms = {
            str(key): {term: made.terms[term] for term in REPLAYED_TERMS[tier] if term in made.terms}
            for key, made in known.items()
        }
        found[tier] = Recording(
            tier=tier,
            system=str(own.fingerprint.get("host", "unknown")).split(",")[0],
            last=own.last,
            terms_ms={key: values for key, values in terms.items() if values},
            cuts=tuple(cut.index for cut in own.cuts),
            source={**source, "host": str(own.fingerprint.get("host", "unknown"))},
        )
    return found


def common_cuts(recording: Recording, cuts: Sequence[CutRecord], sizes: Mapping[int, int]) -> list[int]:
    """The recorded cuts that a model of today has too, with a tensor of the recorded size.

    Args:
        cuts: of today's model.
        sizes: recorded bytes of the tensor by cut; a cut without one is taken by its index.

    Raises:
        SpecError: there is none.
    """
    bytes_of = {cut.index: _FLOAT32_BYTES * math.prod(cut.shape) for cut in cuts}
    found = [at for at in recording.cuts if at in bytes_of and sizes.get(at, bytes_of[at]) == bytes_of[at]]
    if not found:
        raise SpecError(
            f"hardware: {recording.system} was recorded with another table of layers than this Keras has, so that no "
            "recorded cut can be put together with a tier of this host; allowed: recordings on both tiers"
        )
    return found


def recorded_sizes(pair: RecordedPair) -> dict[int, int]:
    """Bytes of the tensor at each recorded cut, without header; of those whose size was recorded."""
    return {
        block.output_layer: block.output_npy_bytes - NPY_HEADER_BYTES
        for block in pair.device.blocks[:-1]
        if block.output_npy_bytes > NPY_HEADER_BYTES
    }


# -- the device -----------------------------------------------------------------------------------------


def _device(pair: RecordedPair, input_shape: Sequence[int]) -> Recording:
    tier = pair.device
    alone = pair.edge is None
    heads_ms = list(itertools.accumulate(1e3 * block.compute_s for block in tier.blocks))
    terms: dict[str, dict[str, float]] = {"device-only": {"device": heads_ms[-1]}}
    payloads: dict[str, int] = {}
    estimate = _Conversions(tier)
    if not alone:
        payloads |= _picture_payloads(input_shape)
        terms |= {text: {"serialize": estimate.ms(Key.parse(text), size)} for text, size in payloads.items()}
        for block, head_ms in zip(tier.blocks[:-1], heads_ms, strict=False):
            if pair.edge is not None and pair.edge.suffix_s and block.output_layer not in pair.edge.suffix_s:
                continue
            plain, small = _keys(block)
            payloads[str(plain)] = block.output_npy_bytes - NPY_HEADER_BYTES
            terms[str(plain)] = {"device": head_ms, "serialize": estimate.ms(plain, payloads[str(plain)])}
            if block.downsample_s is not None and block.convert_s is not None and block.tl_output_npy_bytes:
                payloads[str(small)] = block.tl_output_npy_bytes - NPY_HEADER_BYTES
                own = {"device_tl": 1e3 * block.downsample_s, "serialize": 1e3 * block.convert_s}
                terms[str(small)] = {"device": head_ms} | own
    return Recording(
        tier="device",
        system=tier.system,
        last=pair.last,
        terms_ms=terms,
        cuts=() if alone else _cuts_of(terms),
        payload_bytes=payloads,
        estimates=estimate.estimates("serialize"),
        source=_source(tier),
        classes=_classes(tier),
    )


# -- the edge -------------------------------------------------------------------------------------------


def _edge(pair: RecordedPair, tier: RecordedTier, eager: RecordedTier, input_shape: Sequence[int]) -> Recording:
    """Tails from the runtime's own recording; under Triton the rest from the eager one of the same system."""
    tails = tails_ms(pair)
    estimate = _Conversions(eager)
    terms = {
        text: {"deserialize": estimate.ms(Key.parse(text), size), "edge": tails[None]}
        for text, size in _picture_payloads(input_shape).items()
    }
    for block in eager.blocks[:-1]:
        if tier.suffix_s and block.output_layer not in tier.suffix_s:
            continue
        plain, small = _keys(block)
        tail_ms = tails[block.output_layer]
        size = block.output_npy_bytes - NPY_HEADER_BYTES
        terms[str(plain)] = {"deserialize": estimate.ms(plain, size), "edge": tail_ms}
        if block.upsample_s is not None and block.convert_s is not None:
            own = {"deserialize": 1e3 * block.convert_s, "edge_tl": 1e3 * block.upsample_s}
            terms[str(small)] = own | {"edge": tail_ms}
    estimates = list(estimate.estimates("deserialize"))
    if tier.runtime == TRITON:
        keys = [Key.parse(text) for text in terms]
        method = _STAND_IN.format(system=tier.system)
        small_keys = tuple(key for key in keys if key.transfer_layer == RECORDED_TL)
        estimates.append(Estimate(("deserialize", "edge_tl"), small_keys, method))
        estimates.append(Estimate(("edge",), tuple(key for key in keys if key.candidate == "edge-only"), method))
    return Recording(
        tier="edge",
        system=tier.system,
        last=pair.last,
        terms_ms=terms,
        cuts=_cuts_of(terms),
        estimates=tuple(estimates),
        source=_source(tier) | ({"eager_file": eager.file} if eager is not tier else {}),
        classes=_classes(eager),
    )


# -- parts of both --------------------------------------------------------------------------------------


class _Conversions:
    """Estimates the (de)serialisation of tensors whose conversion was not recorded on a tier."""

    def __init__(self, tier: RecordedTier) -> None:
        self._known = [
            (block.tl_output_npy_bytes - NPY_HEADER_BYTES, 1e3 * block.convert_s)
            for block in tier.blocks
            if block.convert_s is not None and block.tl_output_npy_bytes
        ]
        self._constant, self._slope = line_through(self._known) if self._known else (0.0, 0.0)
        self._system = tier.system
        self._keys: list[Key] = []

    def ms(self, key: Key, size_bytes: int) -> float:
        """Of a candidate whose tensor has that size; noted as an estimate."""
        self._keys.append(key)
        return max(0.0, self._constant + self._slope * size_bytes)

    def estimates(self, term: str) -> tuple[Estimate, ...]:
        if not self._keys:
            return ()
        if not self._known:
            return (Estimate((term,), tuple(self._keys), f"no conversion was recorded on {self._system}: taken as 0"),)
        method = _LINE.format(
            count=len(self._known), system=self._system, least=min(self._known)[0], most=max(self._known)[0]
        )
        return (Estimate((term,), tuple(self._keys), method),)


def _keys(block: LayerBenchmark) -> tuple[Key, Key]:
    return Key("split", block.output_layer, "none"), Key("split", block.output_layer, RECORDED_TL)


def _cut(block: LayerBenchmark) -> CutRecord:
    elements = max(0, block.output_npy_bytes - NPY_HEADER_BYTES) // _FLOAT32_BYTES
    shape = (1, 1, elements) if block.tl_output_npy_bytes and block.downsample_s is not None else (elements,)
    return CutRecord(block.output_layer, "", shape, True)


def _cuts_of(terms: Mapping[str, object]) -> tuple[int, ...]:
    splits = {Key.parse(text).split for text in terms}
    return tuple(sorted(split for split in splits if split is not None))


def _picture_payloads(input_shape: Sequence[int]) -> dict[str, int]:
    return {
        str(Key("edge-only", None, "none", name)): size * math.prod(input_shape) for name, size in PICTURE_BYTES.items()
    }


def _classes(tier: RecordedTier) -> int:
    return max(1, (tier.blocks[-1].output_npy_bytes - NPY_HEADER_BYTES) // _FLOAT32_BYTES)


def _source(tier: RecordedTier) -> dict[str, str]:
    return {"runtime": tier.runtime, "file": tier.file, "sha256": tier.sha256}
