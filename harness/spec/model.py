"""The network of a spec: one of Keras Applications, or the user's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as Constrained
from pydantic import model_validator

from harness import outside
from harness.spec.fields import PROJECT, Cuts, Part, field, from_project


class Model(Part):
    """The network (`conf/model`)."""

    name: str = field("name in the zoo", min_length=1)
    architecture: str | None = field("class of Keras Applications; null: a model of your own", min_length=1)
    file: str | None = field(
        "a model of your own as a .keras file; a relative one is meant from the project; null: none",
        min_length=1,
        default=None,
    )
    factory: str | None = field(
        "what builds a model of your own, FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION; null: nothing",
        min_length=1,
        default=None,
    )
    input_shape: Annotated[tuple[int, int, int], Constrained(strict=False)] = field(
        "height, width and channels of the input picture", "pixels"
    )
    preprocessing: Literal["tf", "torch", "caffe", "unit", "raw"] = field("how a picture becomes the input tensor")
    weights: str | None = field(
        "null (random, from the seed), imagenet, or a weights file; a relative one is meant from the project"
    )
    landmarks: Cuts = field("cuts that are always measured: Keras indices of the last device layer")
    classes: int | None = field(
        "classes of its scores; null: ImageNet's 1000, or with mode=train those of the data set", ge=2, default=None
    )

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        given = [key for key in ("architecture", "file", "factory") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'nothing'} says what it is; allowed: one of model.architecture (a model of "
                "conf/model), model.file and model.factory (with model=own)"
            )
        if self.file is not None and self.weights is not None:
            raise ValueError("model.file has its weights in it; allowed: model.weights=null")
        return self

    @property
    def pretrained(self) -> bool:
        """Whether its weights mean something, as far as the spec tells."""
        return self.weights is not None or self.file is not None

    @property
    def located(self) -> dict[str, str | None]:
        """`file`, `factory` and `weights` as every process finds them, wherever it runs."""
        found: dict[str, str | None] = {}
        if self.file is not None:
            found = {"file": str(from_project(self.file).resolve()), "factory": None}
        elif self.factory is not None:
            source, name = outside.attribute(self.factory, PROJECT, "model.factory")
            found = {"file": None, "factory": f"{source}:{name}"}
        if self.weights is not None and self.weights != "imagenet":
            found["weights"] = str(from_project(self.weights).absolute())
        return found
