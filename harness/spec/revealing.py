"""The section of what a cut reveals."""

from __future__ import annotations

from harness.spec.fields import Part, field


class Leakage(Part):
    """What the tensor at a cut reveals of the picture (`conf/leakage`), measured by mode=profile."""

    enabled: bool = field("true: mode=profile also measures it, at every cut")
    pictures: int = field("crops of photographs that the correlation is over", ge=8, le=2048)
    decoders: int = field("cuts, from the first to the last, at which a decoder is trained; 0: none", ge=0, le=1000)
    decoder_steps: int = field("its training, in steps of 16 pictures", ge=1, le=100_000)
    shown: int = field("front cuts whose tensors are drawn", ge=1, le=100)
