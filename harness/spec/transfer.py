"""The sections of what stands in a cut: transfer layer and wire format.

Which parameters go together is known where the layers and formats are (harness.transfer); a cell's check asks there.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator, model_validator

from harness import outside
from harness.results.labels import format_label
from harness.spec.fields import PROJECT, Part, field, nearest, options


class TransferLayer(Part):
    """The transfer layer in the cut (`conf/transfer_layer`); null: the layer has no such parameter, or its default."""

    source: str | None = field(
        "a layer of your own: the Python file or installed module that defines it; null: one of ours",
        min_length=1,
        default=None,
    )
    name: str = field("name in the registry", min_length=1)
    pool: Literal[2, 3, 4] | None = field("height, width and stride of a pooling window", default=None)
    interpolation: Literal["nearest", "bilinear", "bicubic"] | None = field("of the upsampling", default=None)
    ratio: Literal[1, 2, 4, 8, 16, 32] | None = field("channels at the cut / those that are sent", default=None)
    depth: Literal[1, 2, 3] | None = field("steps of the autoencoder, each halves height and width", default=None)
    parameters: dict[str, int | float | str] | None = field("of a layer of your own, by name; null: none", default=None)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        allowed = options("transfer_layer")
        if name not in allowed and info.data.get("source") is None:
            raise ValueError(
                f"no transfer layer {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}, or one of your "
                "own with transfer_layer.source"
            )
        return name

    @property
    def located(self) -> str | None:
        """`source` as every process finds it; None for a layer of ours."""
        return None if self.source is None else outside.locate(self.source, PROJECT)

    @model_validator(mode="after")
    def _can_be_told(self) -> TransferLayer:
        try:
            _ = self.text
        except ValueError as error:
            raise ValueError(f"its name or a parameter cannot stand in a label: {error}") from None
        return self

    @property
    def text(self) -> str:
        """Name and all parameters given, as `harness.transfer.layers.get` reads it."""
        given = self.model_dump(exclude={"name", "source", "parameters"}, exclude_none=True)
        return format_label(self.name, given | (self.parameters or {}))


class WireFormat(Part):
    """How the tensor at the cut is encoded (`conf/wire_format`); null: not used, or its default."""

    name: str = field("numeric stage: float32, float16 or uint8", min_length=1)
    percentile: float | None = field(
        "range of uint8, from the (100 - percentile)th to the percentile-th of the values; 100: smallest to largest",
        "percent",
        gt=50,
        le=100,
        default=None,
    )
    entropy: Literal["none", "zlib", "zstd", "jpeg"] = field("entropy stage; jpeg with uint8 alone", default="none")
    level: int | None = field("of zlib (1 to 9, null: 6) or zstd (1 to 22, null: 3)", ge=1, le=22, default=None)
    quality: int | None = field("libjpeg quality of entropy=jpeg, null: 90", ge=1, le=95, default=None)
    force: bool = field("true: entropy-code what random weights made too, and mark its rows", default=False)

    @property
    def text(self) -> str:
        """Both stages and all parameters given, as `harness.transfer.wire.get` reads it."""
        numeric = format_label(self.name, self.model_dump(include={"percentile"}, exclude_none=True))
        return (
            f"{numeric}+{format_label(self.entropy, self.model_dump(include={'level', 'quality'}, exclude_none=True))}"
        )
