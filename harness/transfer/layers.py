"""Transfer layers by name: what shrinks the tensor at a cut before it is sent, and restores its shape afterwards.

A transfer layer is Keras (shapes, gradients, training); how its tensor becomes bytes is the wire format's
matter. Shapes here are those of one tensor without the batch axis. Shape maths needs no TensorFlow; only
`device_tl` and `edge_tl` import it. A new layer is a subclass of `TransferLayer` and a YAML file in
conf/transfer_layer.

    none          the tensor as it is                        -
    maxpool       the paper's                                pool, interpolation
    avgpool       the mean of each window                    pool, interpolation
    bottleneck    learned 1x1 convolutions                   ratio
    autoencoder   learned strided 3x3 convolutions           depth, ratio
"""

from __future__ import annotations

import functools
import os
from typing import Any

from harness import outside
from harness.errors import SpecError
from harness.results.labels import parse_label
from harness.transfer import learned, pooling  # noqa: F401  (registers them, in the order of the table above)
from harness.transfer.layer import REGISTRY, Shape, TransferLayer

__all__ = ["Shape", "TransferLayer", "get", "names", "use"]

#: Sources of layers from outside of this tree, for the processes that this one starts.
VARIABLE = "HARNESS_TRANSFER_LAYERS"


def use(source: str) -> None:
    """Let a user's own layers be found by name, here and in every process started from here.

    Args:
        source: as `harness.outside.locate` gives it; defining a class in it registers it.

    Raises:
        SpecError: it cannot be imported.
    """
    known = [each for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    if source not in known:
        os.environ[VARIABLE] = os.pathsep.join([*known, source])
    outside.load(source, "transfer_layer.source")


def get(label: str, **parameters: Any) -> TransferLayer:
    """The transfer layer of that label, e.g. `maxpool` or `maxpool:pool=3,interpolation=bilinear`.

    Args:
        label: as `TransferLayer.label` gives it.
        parameters: more of them, and the `seed` of a learned layer's weights.

    Raises:
        SpecError: no such layer (the nearest is named), no such parameter, or a value that is not allowed.
    """
    return _create(label, tuple(sorted(parameters.items())))


@functools.lru_cache(maxsize=512)  # asked for in every request
def _create(label: str, parameters: tuple[tuple[str, Any], ...]) -> TransferLayer:
    try:
        name, own = parse_label(label)
    except ValueError as error:
        raise SpecError(f"transfer_layer: {error}, e.g. maxpool:pool=3") from error
    if "seed" in own:
        raise SpecError(f"transfer_layer: {label!r} holds a seed; allowed: the root key seed")
    if name not in REGISTRY.names():
        for source in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
            outside.load(source, "transfer_layer.source")
    return REGISTRY.create(name, **(own | dict(parameters)))


def names() -> tuple[str, ...]:
    """All transfer layers, without parameters."""
    return REGISTRY.names()
