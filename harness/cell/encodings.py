"""Which transfer layers and wire formats a cell ranks, measures and anchors, from its spec (no TensorFlow)."""

from __future__ import annotations

from harness import outside
from harness.errors import SpecError
from harness.spec import Spec
from harness.transfer import layers, wire
from harness.transfer.encoding import RANKED, Encoding
from harness.transfer.layer import TransferLayer


def own(spec: Spec) -> Encoding:
    """The cell's own: what `transfer_layer` and `wire_format` say.

    Raises:
        SpecError: a name, parameter or pair that is not allowed; or an entropy-coded payload of a network or a transfer
            layer with random weights, unless by force.
    """
    return _with_format(spec, layer_of(spec))


def layer_of(spec: Spec) -> TransferLayer:
    """The cell's transfer layer, one of the user's own found first. Raises SpecError for one that is not allowed."""
    if spec.transfer_layer.located is not None:
        layers.use(spec.transfer_layer.located)
    return layers.get(spec.transfer_layer.text)


def own_code(spec: Spec) -> dict[str, str]:
    """Of the cell's transfer layer, for what is kept by content: the SHA-256 of a user's own; nothing for those of
    ours, which have the harness' version. Raises SpecError where there is no such file or module."""
    source = spec.transfer_layer.located
    return {} if source is None else {"transfer_layer_sha256": outside.digest(source, "transfer_layer.source")}


def measured(spec: Spec) -> tuple[Encoding, ...]:
    """Measured at every chosen cut: `measure.transfer_layers`, in the cell's wire format.

    The bare name of the cell's own transfer layer stands for that layer, with the cell's parameters. Raises SpecError
    as `own` does.
    """
    layer_of(spec)
    names = spec.measure.transfer_layers
    texts = [spec.transfer_layer.text if name == spec.transfer_layer.name else name for name in names]
    return tuple(dict.fromkeys(_with_format(spec, layers.get(text)) for text in texts))


def ranked(spec: Spec) -> tuple[Encoding, ...]:
    """Ranked, and so profiled, at every cut: original Scission's, the paper's, the cell's own, and what is measured.

    Raises SpecError as `own` does.
    """
    return tuple(dict.fromkeys((*RANKED, own(spec), *measured(spec))))


def _with_format(spec: Spec, layer: TransferLayer) -> Encoding:
    """A transfer layer with the cell's wire format, marked where the size of its payloads means nothing."""
    found = wire.get(spec.wire_format.text)
    random = "random weights (model.weights=null)" if not spec.model.pretrained else f"an untrained {layer.name}"
    if not found.content_dependent or (spec.model.pretrained and not layer.learned):
        return Encoding(layer.label, found.label)
    if not spec.wire_format.force:
        raise SpecError(
            f"wire_format: how small {found.label} makes the tensors of {random} means nothing; allowed: trained "
            "weights (model.weights=imagenet or a file) and a transfer layer without its own, "
            f"wire_format.entropy=none, or wire_format.force=true, which marks every such row with {wire.FORCED}"
        )
    return Encoding(layer.label, found.label + wire.FORCED)
