"""Every way to run a request that a cell ranks, with its payload and whether it is possible at all."""

from __future__ import annotations

from collections.abc import Sequence

from harness.prediction.profile import CutRecord, ModelFeatures, TierProfile
from harness.results.schema import Key, Row
from harness.transfer import pictures
from harness.transfer.encoding import Encoding


def enumerate_rows(profile: TierProfile | ModelFeatures, *, encodings: Sequence[Encoding], min_split: int) -> list[Row]:
    """One row per candidate and encoding, in the order of `splits.csv`.

    Args:
        profile: of the device, or the model's features: it knows the cuts, and a profile the sizes of payloads that
            depend on their content.
        encodings: ranked at every cut.
        min_split: cuts below it break the user's privacy constraint (paper, Section 4.2): not feasible.
    """
    rows = [Row(Key("device-only"), layer="", payload_bytes=None)]
    rows += [
        Row(Key("edge-only", None, "none", name), payload_bytes=profile.picture_bytes[name])
        for name in pictures.names()
    ]
    rows += [_split(profile, cut, encoding, min_split) for cut in profile.cuts for encoding in encodings]
    return rows


def _split(profile: TierProfile | ModelFeatures, cut: CutRecord, encoding: Encoding, min_split: int) -> Row:
    row = Row(encoding.key(cut.index), layer=cut.layer, scission_cut=cut.scission_cut)
    reason = encoding.infeasible_because(cut.shape)
    if reason is None:
        row.payload_bytes = _payload_bytes(profile, cut, encoding)
        if row.payload_bytes is None:
            reason = f"how far {encoding.wire_format} compresses is known from a profile of the device alone"
        elif cut.index < min_split:
            reason = f"cut {cut.index} < constraints.min_split {min_split}"
    row.feasible, row.infeasible_because = reason is None, reason or ""
    return row


def _payload_bytes(profile: TierProfile | ModelFeatures, cut: CutRecord, encoding: Encoding) -> int | None:
    """What is really sent: as the profile's picture gave it where that depends on the content (of the format, or of a
    message that writes numbers); else by formula."""
    known = profile.payload_bytes.get(str(encoding.key(cut.index))) if isinstance(profile, TierProfile) else None
    return known if known is not None or encoding.content_dependent else encoding.payload_bytes(cut.shape)
