"""The section of mode=deploy."""

from __future__ import annotations

from harness.spec.fields import Part, field


class Deploy(Part):
    """What is exported (`conf/deploy`)."""

    trained: str | None = field(
        "folder of a mode=train run, or a TLModel (.keras); a relative one is meant from the project; null: the model "
        "as it is, its transfer layer untrained",
        min_length=1,
    )
    onnx: bool = field("true: also as ONNX, for a stock Triton, where the wire format is a plain tensor")
