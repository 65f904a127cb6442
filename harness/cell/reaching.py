"""What of an edge and of the way to it does not go together: found before anything is started."""

from __future__ import annotations

from typing import Any

from harness.errors import SpecError
from harness.spec import Spec
from harness.testbed import gpu


def check(spec: Spec) -> None:
    """Raise SpecError for a communicator or an external edge that the rest of the cell cannot do with."""
    _check_processors(spec)
    _check_json(spec)
    _check_new_connection(spec)
    if spec.hardware.edge.url is None:
        return
    from harness.testbed import external  # late: gRPC comes with it, and most cells have no such edge

    external.connection(spec)
    if spec.hardware.kind == "remote":
        raise SpecError(
            "hardware.edge.url: the interface of a board is shaped towards this host's own Triton; allowed with "
            "hardware=remote: null"
        )
    if spec.gate.selftest and spec.mode == "validate":
        raise SpecError(
            "gate.selftest=true: an external edge shows no queue of its own for a fault to be planted into; allowed: "
            "hardware.edge.url=null"
        )


def gpus(spec: Spec) -> dict[str, Any]:
    """By tier that computes on a GPU of this host, not on a board or an external edge, what its driver says of it now:
    clocks change with what it does."""
    tiers = {"device": spec.hardware.device, "edge": spec.hardware.edge}
    here = {tier: own for tier, own in tiers.items() if own.processor == "gpu"}
    if spec.hardware.edge.url is not None:
        here.pop("edge", None)
    if spec.hardware.kind == "remote":
        here.pop("device", None)
    return {tier: gpu.find(own.gpu, f"hardware.{tier}.processor").record() for tier, own in here.items()}


def _check_processors(spec: Spec) -> None:
    """A GPU that is asked for is there; on an external edge's host nobody can look from here."""
    gpus(spec)
    device, edge = spec.hardware.device, spec.hardware.edge
    if "gpu" in (device.processor, edge.processor) and edge.endpoint == "per_cut":
        raise SpecError(
            "hardware.edge.endpoint=per_cut: a deployment computes on the CPU; allowed: processor=cpu, or "
            "endpoint=multiplexed"
        )


def _check_json(spec: Spec) -> None:
    """The size of a JSON message is known from the numbers in it alone."""
    if spec.communicator.name != "http_json":
        return
    if spec.hardware.kind == "recorded":
        raise SpecError(
            "communicator=http_json: nobody recorded what writing a tensor as JSON costs that hardware, nor its "
            "numbers; allowed: grpc, http_binary"
        )
    if spec.predictor.name == "regression":
        raise SpecError(
            "communicator=http_json: how long a tensor is as JSON is known from a profile of the model alone; allowed: "
            "predictor=calibrated, or communicator=grpc, http_binary"
        )


def _check_new_connection(spec: Spec) -> None:
    if spec.measure.connection != "new" or spec.mode not in ("predict", "validate"):
        return
    if spec.hardware.edge.url is not None:
        raise SpecError(
            "measure.connection=new: what connecting to an external edge takes behind the link cannot be predicted; "
            "allowed: warm, idle, or mode=measure"
        )
    if spec.communicator.name != "grpc":
        raise SpecError(
            f"measure.connection=new: what a new connection costs is known of gRPC, not of {spec.communicator.name}; "
            "allowed: communicator=grpc, measure.connection=warm or idle, or mode=measure"
        )
