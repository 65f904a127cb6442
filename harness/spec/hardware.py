"""The section `hardware` of a spec: the two tiers, where each computes, and how the edge is reached."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from harness.results.addresses import split_address
from harness.spec.board import Board, ipv4_address
from harness.spec.fields import Part, field

#: A `system` that is no recording: the tier of a recorded pair that runs on this host.
THIS_HOST = "local"


class Tier(Part):
    """Where one tier computes."""

    cpu: int = field("core that the tier is pinned to", ge=0, le=1023)
    threads: int = field("TensorFlow threads", ge=1, le=256)
    processor: Literal["cpu", "gpu"] = field("where its TensorFlow computes", default="cpu")
    gpu: int = field("number of the GPU, as nvidia-smi counts, with processor=gpu", ge=0, le=255, default=0)


class Device(Tier, Board):
    """The IIoT device."""

    slowdown: float = field("times slower than the host or the recording; above 1 the agent waits", ge=1, le=1000)
    system: str | None = field(
        "name of its recording, e.g. tx2_gpu; local: computed on this host; null: not recorded",
        min_length=1,
        default=None,
    )


class EdgeTls(Part):
    """TLS to an external Triton. Files are PEM; a relative path is meant from the project."""

    enabled: bool = field("true: speak TLS", default=False)
    ca: str | None = field("certificates to trust; null: this system's", min_length=1, default=None)
    certificate: str | None = field("of the client, where the server asks for one", min_length=1, default=None)
    key: str | None = field("its private key", min_length=1, default=None)
    server_name: str | None = field(
        "that the server's certificate must name; null: the host of hardware.edge.url", min_length=1, default=None
    )


class Edge(Tier):
    """The edge server."""

    url: str | None = field(
        "host:port of an external Triton's gRPC (http_port null: of what the communicator speaks); null: this harness "
        "starts one",
        min_length=1,
        default=None,
    )
    http_port: int | None = field(
        "port of its HTTP endpoint, for communicator=http_binary and http_json; null: that of the url",
        ge=1,
        le=65535,
        default=None,
    )
    tls: EdgeTls = field("how to speak TLS to it", default=EdgeTls())
    models: Literal["found", "load"] = field(
        "of an external Triton: found: it serves the model already; load: sent through its repository API and unloaded "
        "afterwards",
        default="found",
    )
    model_version: int | None = field("of the model to ask for; null: the server's choice", ge=1, default=None)

    endpoint: Literal["multiplexed", "per_cut"] = field(
        "what the edge serves: every cut, from one model of ours; or one deployment, as mode=deploy lays it out"
    )
    deployment: str | None = field(
        "folder of the mode=deploy run that per_cut runs; a relative one is meant from the project; null: none",
        min_length=1,
        default=None,
    )
    system: str | None = field(
        "name of its recording, e.g. ampere; local: computed on this host; null: none", min_length=1, default=None
    )
    runtime: Literal["tf_eager", "triton"] | None = field("which recording of the edge; null: none", default=None)
    address: str | None = field(
        "IPv4 address of this host, at which the board of hardware=remote reaches the edge; null: none", default=None
    )
    port: int = field("TCP port of the edge there", ge=1, le=65_535, default=8001)

    _ipv4 = field_validator("address")(ipv4_address)


class Hardware(Part):
    """The two tiers (`conf/hardware`)."""

    name: str = field("name of the pair", min_length=1)
    kind: Literal["local", "recorded", "remote"] = field(
        "where the tiers live: on this host, in profiles recorded elsewhere, or the device on a board of its own"
    )
    profiles: str | None = field(
        "folder of recorded profiles, or a file that profile.export wrote; a relative one is meant from the project; "
        "null: none",
        min_length=1,
        default=None,
    )
    unrecorded: Literal["refuse", "leave_out"] = field(
        "a cell that nobody recorded is refused; leave_out: it ends at once with a row that says so, for sweeps over "
        "models and pairs of which some were recorded",
        default="refuse",
    )
    device: Device
    edge: Edge

    @field_validator("edge")
    @classmethod
    def _own_core(cls, edge: Edge, info: ValidationInfo) -> Edge:
        device = info.data.get("device")
        if device is not None and device.cpu == edge.cpu and info.data.get("kind") != "remote":
            raise ValueError(
                f"both tiers would share core {edge.cpu} and slow each other down; give each a cpu of its own"
            )
        return edge

    @field_validator("device", "edge")
    @classmethod
    def _computing(cls, tier: Tier, info: ValidationInfo) -> Tier:
        """A tier that waits has no processor, and an emulated board counts CPU time."""
        if tier.processor == "cpu":
            return tier
        key = f"hardware.{info.field_name}.processor=gpu"
        if info.data.get("kind") == "recorded" and getattr(tier, "system", None) != THIS_HOST:
            raise ValueError(f"{key}: this tier waits for recorded times and computes nothing; allowed: cpu")
        if getattr(tier, "slowdown", 1) > 1:
            raise ValueError(
                f"{key}: a slower board is emulated by the CPU time that was computed, and a GPU's work is none; "
                "allowed: hardware.device.slowdown=1, e.g. hardware=local"
            )
        return tier

    @field_validator("device")
    @classmethod
    def _named(cls, device: Device, info: ValidationInfo) -> Device:
        if info.data.get("kind") == "recorded" and device.system is None:
            raise ValueError("a recorded device needs hardware.device.system; allowed: the name of its recording")
        return device

    @field_validator("edge")
    @classmethod
    def _replayable(cls, edge: Edge, info: ValidationInfo) -> Edge:
        device = info.data.get("device")
        systems = (device.system if device is not None else None, edge.system)
        if info.data.get("kind") == "recorded" and systems in ((THIS_HOST, THIS_HOST), (THIS_HOST, None)):
            raise ValueError("no tier of this pair is recorded; allowed: a recording on one of them, or hardware=local")
        return edge

    @field_validator("edge")
    @classmethod
    def _addressed(cls, edge: Edge, info: ValidationInfo) -> Edge:
        if edge.url is None:
            lone = [name for name, own in (("http_port", edge.http_port), ("model_version", edge.model_version)) if own]
            lone += ["tls.enabled"] if edge.tls.enabled else []
            lone += ["models"] if edge.models != "found" else []
            if lone:
                raise ValueError(
                    f"hardware.edge.{lone[0]} is for an external Triton alone; allowed: its default, or give "
                    "hardware.edge.url=HOST:PORT"
                )
            return edge
        try:
            split_address(edge.url)
        except ValueError as error:
            raise ValueError(f"hardware.edge.url={edge.url}: {error}") from None
        if info.data.get("kind") == "recorded":
            raise ValueError("a recorded pair waits in this harness's own Triton; allowed: hardware.edge.url=null")
        return edge

    @property
    def replayed(self) -> dict[str, str]:
        """By tier that waits for recorded times instead of computing, the name of its recording."""
        if self.kind != "recorded":
            return {}
        systems = {"device": self.device.system, "edge": self.edge.system}
        return {tier: name for tier, name in systems.items() if name is not None and name != THIS_HOST}

    @property
    def has_edge(self) -> bool:
        """Whether there is anything to cut for: some of the paper's configurations are a device alone."""
        return self.kind != "recorded" or self.edge.system is not None

    @property
    def one_clock(self) -> bool:
        """Whether both tiers read the same clock: those of two hosts are never subtracted."""
        return self.kind != "remote"

    @property
    def unavailable_terms(self) -> tuple[str, ...]:
        """The terms that nobody can measure on this hardware: an external edge may be another host, too, and the
        server's own readings are on its disk."""
        if self.edge.url is not None:
            return ("uplink", "queue", "downlink")
        return () if self.one_clock else ("uplink", "downlink")

    @property
    def emulated(self) -> bool:
        """Whether the device only imitates a slower board; every result says so."""
        return self.device.slowdown > 1
