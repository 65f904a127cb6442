"""The sections of mode=train: the data set, and how a network is trained on it."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from harness.spec.fields import Part, field, nearest, options


class Dataset(Part):
    """What the requests carry, and what is trained on (`conf/dataset`); null: not used, or all there is."""

    name: str = field("source of the pictures: photograph is one without a label, the others are data sets")
    path: str | None = field("its folder or file; null: where its package puts it", min_length=1, default=None)
    builder: str | None = field("data set of TensorFlow Datasets, e.g. cifar10", min_length=1, default=None)
    size: int | None = field(
        "side that pictures are brought to and the model is built for; null: model.input_shape",
        "pixels",
        ge=8,
        le=4096,
        default=None,
    )
    validation: float = field(
        "share of the training part kept out, from which everything is chosen", "fraction", gt=0, lt=1, default=0.1
    )
    max_train: int | None = field("pictures trained on, every class with its share", ge=2, default=None)
    max_test: int | None = field("pictures tested on, likewise", ge=1, default=None)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        allowed = options("dataset")
        if name not in allowed:
            raise ValueError(f"no data set {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}")
        return name


class Descent(Part):
    """Stochastic gradient descent."""

    epochs: float = field("passes over the training part, fractions allowed", "epochs", ge=0, le=10_000)
    batch: int = field("pictures a step", ge=2, le=65_536)
    learning_rate: float = field("at its peak", gt=0, le=10)
    schedule: Literal["constant", "cosine"] = field("of the learning rate; cosine ends at zero")
    warmup: float = field("share of the steps over which the rate climbs from zero", "fraction", ge=0, lt=1)
    momentum: float = field("0: none; above, Nesterov's", ge=0, lt=1)
    weight_decay: float = field("of kernels, decoupled, times the learning rate", ge=0, le=1)
    patience: int | None = field(
        "epochs without a better validation after which it stops, with the best epoch's weights; null: never",
        ge=0,
        le=1000,
    )


class Original(Descent):
    """The first training of a model that has no weights (model.weights=null)."""

    seed: int | None = field("of the order of pictures and of random weights; null: the root seed", ge=0, lt=2**32)


class Distillation(Part):
    """Learning from the scores of the untouched model, Hinton et al. (2015)."""

    weight: float = field("of its scores against the labels; 0: labels alone", "fraction", ge=0, le=1)
    temperature: float = field("that both scores are divided by", gt=0, le=100)


class Train(Descent):
    """How the TLModel is retrained (`conf/train`)."""

    name: str = field("name of the recipe", min_length=1)
    bn_momentum: float = field("of batch normalisation's running statistics while training", ge=0, lt=1)
    head: Literal["trainable", "frozen"] = field("whether layers up to the cut learn")
    distillation: Distillation
    recalibration: int = field("pictures that batch normalisation alone is recalibrated on", ge=1, le=10_000_000)
    control: bool = field("also train the original on for as long, and compare with the better of the two")
    original: Original
    dir: str = field("folder of all trainings, by content; a relative one is meant from the project", min_length=1)
    threads: int = field("TensorFlow threads", ge=1, le=256)
    deterministic: bool = field("true: the same seed gives the same accuracy, to the last picture")

    @field_validator("distillation")
    @classmethod
    def _not_alone(cls, distillation: Distillation, info: ValidationInfo) -> Distillation:
        if distillation.weight > 0 and info.data.get("epochs") == 0:
            raise ValueError("nothing is distilled in no epochs; allowed: train.epochs above 0, or weight 0")
        return distillation
