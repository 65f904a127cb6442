"""Every way to run a request that a cell ranks, with its payload and whether it is possible at all."""

from __future__ import annotations

from collections.abc import Sequence

from harness.prediction.profile import ModelFeatures, TierProfile
from harness.results.schema import Key, Row
from harness.transfer import layers, wire


def enumerate_rows(
    profile: TierProfile | ModelFeatures, *, transfer_layers: Sequence[str], wire_format: str, min_split: int
) -> list[Row]:
    """One row per candidate and encoding, in the order of `splits.csv`.

    Args:
        profile: of either tier, or the model's features: it knows the cuts.
        transfer_layers: ranked at every cut.
        wire_format: of every split.
        min_split: cuts below it break the user's privacy constraint (paper, Section 4.2): not feasible.
    """
    rows = [Row(Key("device-only"), layer="", payload_bytes=None)]
    rows += [
        Row(Key("edge-only", None, "none", name), payload_bytes=profile.picture_bytes[name])
        for name in wire.input_formats()
    ]
    for cut in profile.cuts:
        for name in transfer_layers:
            row = Row(Key("split", cut.index, name, wire_format), layer=cut.layer, scission_cut=cut.scission_cut)
            reason = layers.get(name).infeasible_because(cut.shape)
            if reason:
                row.feasible, row.infeasible_because = False, reason
            else:
                row.payload_bytes = wire.get(wire_format).payload_bytes(layers.get(name).payload_shape(cut.shape))
                if cut.index < min_split:
                    row.feasible, row.infeasible_because = (
                        False,
                        f"cut {cut.index} < constraints.min_split {min_split}",
                    )
            rows.append(row)
    return rows
