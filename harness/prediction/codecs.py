"""What transfer layers and wire formats cost a split in a request, from anchors and from the profile (pure).

The profile has timed every ranked encoding at every cut, alone in a loop: about half of what a request takes, whose
caches are cold from the head. The anchors have timed one encoding, the cell's own, at a few cuts in requests. So:

- serialize and deserialize of all that is written in its wire format are a line in the payload's bytes through the
  anchors, since they copy those bytes; unless the size depends on the content;
- all else is the profile's own time, corrected as the anchors' requests differ from their loops. A transfer layer is no
  line in the payload's bytes: pooling three channels takes as long as pooling forty where the processor lacks a vector
  instruction for it (on one without AVX-512 2.3 ms instead of 0.8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from harness.prediction.profile import Calibration, Profiles, TierProfile
from harness.results.schema import Key
from harness.transfer.encoding import Encoding

CODEC_TERMS = ("device_tl", "serialize", "deserialize", "edge_tl")
#: Those of the wire format alone, whichever layer made the tensor.
_FORMAT_TERMS = ("serialize", "deserialize")

#: (constant in ms, slope in ms per payload byte).
Line = tuple[float, float]


def anchored_by_size(profiles: Profiles, calibration: Calibration) -> dict[str, dict[int, float]]:
    """By term and payload bytes, what the anchors in the cell's own wire format took; empty where the size depends on
    the content."""
    own = _own_encoding(calibration)
    shapes = {cut.index: cut.shape for cut in profiles.device.cuts}
    times: dict[str, dict[int, list[float]]] = {}
    for key, terms in _splits(calibration):
        if own is None or key.wire_format != own.wire_format or key.split not in shapes or _sized(profiles, key):
            continue
        size = Encoding.of(key).payload_bytes(shapes[key.split])
        for term in CODEC_TERMS:
            if term in terms and size is not None:
                times.setdefault(term, {}).setdefault(size, []).append(terms[term])
    return {term: {size: float(np.median(own)) for size, own in by_size.items()} for term, by_size in times.items()}


def timed_alone(profiles: Profiles, calibration: Calibration) -> dict[str, dict[str, float]]:
    """By candidate key and term, ms of what no line through the anchors gives: corrected times of the profile."""
    own = _own_encoding(calibration)
    if own is None:
        return {}
    alone = {
        "device_tl": profiles.device,
        "serialize": profiles.device,
        "deserialize": profiles.edge,
        "edge_tl": profiles.edge,
    }
    corrections = _corrections(alone, calibration, own)
    found: dict[str, dict[str, float]] = {}
    for text in profiles.device.codec_ms:
        key = Key.parse(text)
        for term, profile in alone.items():
            ms = profile.codec_ms.get(text, {}).get(term)
            absent = term not in _FORMAT_TERMS and key.transfer_layer == "none"
            on_line = _on_line(term, key, own) and not _sized(profiles, key)
            if key.candidate == "split" and ms is not None and not absent and not on_line:
                constant, slope = corrections[term]
                found.setdefault(text, {})[term] = max(0.0, constant + slope * ms)
    return found


def _own_encoding(calibration: Calibration) -> Encoding | None:
    """That of most anchors: the cell's own. (A network that ends in dense layers has one of `none` beside them.)"""
    counted = Counter(Encoding.of(key) for key, _ in _splits(calibration))
    return max(counted, key=lambda own: (counted[own], own.transfer_layer != "none")) if counted else None


def _splits(calibration: Calibration) -> list[tuple[Key, Mapping[str, float]]]:
    keys = [(Key.parse(text), terms) for text, terms in calibration.anchors.items()]
    return [(key, terms) for key, terms in keys if key.candidate == "split"]


def _on_line(term: str, key: Key, own: Encoding) -> bool:
    return term in _FORMAT_TERMS and key.wire_format == own.wire_format and not own.content_dependent


def _sized(profiles: Profiles, key: Key) -> bool:
    """Whether its payload is not of the size that a formula gives: then its costs are no line in that size."""
    counted = profiles.device.payload_bytes.get(str(key))
    if counted is None:
        return False
    shape = next((cut.shape for cut in profiles.device.cuts if cut.index == key.split), None)
    return shape is not None and counted != Encoding.of(key).payload_bytes(shape)


def _corrections(alone: Mapping[str, TierProfile], calibration: Calibration, own: Encoding) -> dict[str, Line]:
    """By term, (constant in ms, slope) from a time in a loop to one in a request; of a term that no anchor has, as the
    others' typical ratio."""
    pairs: dict[str, list[tuple[float, float]]] = {term: [] for term in alone}
    for key, terms in _splits(calibration):
        for term, profile in alone.items():
            ms = profile.codec_ms.get(str(key), {}).get(term, 0.0)
            if Encoding.of(key) == own and term in terms and ms > 0:
                pairs[term].append((ms, terms[term]))
    ratios = [in_request / in_loop for own_pairs in pairs.values() for in_loop, in_request in own_pairs]
    typical = (0.0, float(np.median(ratios)) if ratios else 1.0)
    return {term: _line(own_pairs) if own_pairs else typical for term, own_pairs in pairs.items()}


def _line(pairs: Sequence[tuple[float, float]]) -> Line:
    """Least squares through (in a loop, in a request); a ratio where it would fall or there is one pair alone."""
    x, y = (np.array(values) for values in zip(*pairs, strict=True))
    if np.ptp(x) > 0:
        slope, constant = np.polyfit(x, y, 1)
        if slope > 0 and constant >= 0:
            return float(constant), float(slope)
    return 0.0, float(np.median(y / x))
