"""The sections of a spec, one for each config group: what they hold, with ranges and units."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from harness.spec.fields import Cuts, Names, Part, field, nearest, options
from harness.spec.tolerances import TermTolerance, TermTolerances


class Tcp(Part):
    """TCP policy of both ends."""

    congestion_control: Literal["cubic", "reno", "bbr"] = field("set by route metric in both namespaces")
    slow_start_after_idle: bool = field("false: an idle connection keeps its window")
    warmup_transfers: int = field("transfers that open a connection's window", ge=0, le=1000)
    warmup_bytes: int = field("size of each of them", "bytes", ge=0, le=100_000_000)


class GilbertElliott(Part):
    """Bursty loss: a two-state Markov chain that steps once a packet; off while `to_bad` and `to_good` are null."""

    to_bad: float | None = field("probability of going from the good to the bad state", "fraction", ge=0, le=1)
    to_good: float | None = field("probability of going back; a burst lasts 1/to_good packets", "fraction", gt=0, le=1)
    loss_bad: float = field("probability of a loss in the bad state", "fraction", ge=0, le=1)
    loss_good: float = field("probability of a loss in the good state", "fraction", ge=0, le=1)


class Link(Part):
    """What lies between the tiers (`conf/link`); the uplink's rate and the RTT are the root keys.

    With a trace, its rates replace `bandwidth`; where it has no delay, half of `latency` holds. The downlink keeps
    its rate and half of `latency`.
    """

    name: Literal["static", "trace", "fiveg"] = field("kind of link")
    trace: str | None = field("file that link=trace replays: mahimahi's format or CSV", min_length=1)
    loop: bool = field("true: a trace begins again at its end; false: its last step stays")
    duration_s: float = field("length of the generated trace (fiveg)", "s", ge=1, le=86_400)
    seed: int | None = field("of all that is random in the link; null: the root seed", ge=0, lt=2**32)
    downlink: float = field("rate from edge to device", "Mbit/s", gt=0, le=100_000)
    jitter_ms: float | None = field("how far a packet's delay strays", "ms", ge=0, le=10_000)
    jitter_distribution: Literal["normal", "pareto", "uniform"] | None = field("of the jitter; null: normal")
    jitter_correlation: float | None = field("weight of the packet before in the next one's jitter", ge=0, le=1)
    loss: float | None = field("share of packets lost, each by itself", "fraction", ge=0, le=1)
    gilbert_elliott: GilbertElliott
    reorder: float | None = field("share of packets sent ahead without the delay", "fraction", ge=0, le=1)
    duplicate: float | None = field("share of packets sent twice", "fraction", ge=0, le=1)
    corrupt: float | None = field("share of packets with one bit turned over", "fraction", ge=0, le=1)
    impair: Literal["both", "up"] = field("ways in which jitter, loss and the like hold")
    backend: Literal["auto", "netem", "relay", "rate-only"] = field(
        "what delays the packets; auto tries netem first; rate-only leaves the delay out, where a board cannot"
    )
    mtu: int = field("largest IP packet", "bytes", ge=576, le=9000)
    burst_bytes: int = field("what may pass at once after idleness, the tbf bucket", "bytes", ge=1600, le=10_000_000)
    queue_bytes: int | None = field("queue in front of the uplink; null: as the backend sizes it", "bytes", ge=1)
    tcp: Tcp
    tolerance: float = field("by how much the probed link may be off", "fraction", gt=0, le=1)

    @field_validator("trace")
    @classmethod
    def _replayed(cls, trace: str | None, info: ValidationInfo) -> str | None:
        if trace is not None and info.data.get("name", "trace") != "trace":
            raise ValueError(f"link={info.data['name']} replays no file; allowed: null, or add link=trace")
        return trace


class Communicator(Part):
    """How a request crosses the link (`conf/communicator`): KServe v2 over gRPC, over HTTP with raw tensors, over HTTP
    in JSON alone."""

    name: Literal["grpc", "http_binary", "http_json"] = field("protocol")
    timeout_s: float = field("longest wait for one response", "s", gt=0, le=3600)


class Predictor(Part):
    """What fills `predicted_ms` (`conf/predictor`)."""

    name: str = field("name in the registry", min_length=1)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        allowed = options("predictor")
        if name not in allowed:
            raise ValueError(f"no predictor {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}")
        return name


class Profile(Part):
    """How a tier is profiled (`conf/profile`)."""

    execution: Literal["compiled", "eager"] = field("tf.function, or layer by layer as published")
    rounds: int = field("timed rounds", ge=1, le=10_000)
    eager_rounds: int = field("timed rounds over Scission's blocks in eager mode, for paper_eager", ge=0, le=1000)
    warmup: int = field("rounds thrown away before them", ge=0, le=1000)
    anchors: int = field("cuts at which whole heads and tails are timed", ge=1, le=100)
    dir: str = field("folder of the cached profiles; a relative one is meant from the project", min_length=1)
    refresh: bool = field("true: profile again even if the cache has it")
    force: bool = field(
        "true: use the nearest profile though it was made on something else; the summary says what", default=False
    )
    export: str | None = field("file that the profiles in use are also written to; null: none", min_length=1)
    file: str | None = field(
        "exported file that mode=predict uses instead of the cache, of any host; null: none", min_length=1
    )


class Measure(Part):
    """What is measured (`conf/measure`)."""

    samples: int = field("requests per candidate", ge=1, le=100_000)
    warmup: int = field("rounds thrown away before them", ge=0, le=1000)
    splits: Literal["spread", "all", "scission"] | Cuts = field("which cuts, e.g. [1,51,139]")
    spread: int = field("cuts that `spread` takes, from the first to the last", ge=2, le=1000)
    transfer_layers: Names = field(
        "transfer layers measured at every chosen cut, e.g. [maxpool,none,'maxpool:pool=3']; the bare name of the "
        "cell's own means it with its parameters"
    )
    landmarks_none: bool = field(
        "also measure `none` (original Scission) at the landmarks and at the best cut predicted for it"
    )
    baselines: bool = field("also measure device-only and edge-only")
    timeout_s: float = field("longest wait for one request", "s", gt=0, le=3600)
    images: int = field(
        "labelled test images sent through the real path, where the data set has labels; 0: none", ge=0, le=10_000_000
    )
    connection: Literal["warm", "new", "idle"] = field(
        "what a request finds: the open connection, none, or one that has been silent for `pause_ms`"
    )
    pause_ms: float = field("that silence; used by connection=idle alone", "ms", gt=0, le=60_000)

    @field_validator("transfer_layers")
    @classmethod
    def _known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        allowed = [*options("transfer_layer"), *(info.context or {}).get("own_layers", ())]
        for label in names:
            name = label.partition(":")[0]
            if name not in allowed:
                raise ValueError(f"no transfer layer {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}")
        return names


class Gate(Part):
    """When the prediction has failed (`conf/gate`); null: not judged."""

    name: str = field("name of the set of tolerances", min_length=1)
    enabled: bool = field("false: no verdict")
    max_mape: float | None = field("mean |error| of `predicted_ms`", "fraction", gt=0, le=10)
    max_p95_abs_error: float | None = field("95th percentile of |error|", "fraction", gt=0, le=10)
    max_bias: float | None = field("|mean error|", "fraction", gt=0, le=10)
    max_forecast_mape: float | None = field("mean |error| of `forecast_ms`", "fraction", gt=0, le=10)
    max_regret: float | None = field("what the best predicted split loses", "fraction", gt=0, le=10)
    max_noise: float | None = field("noise floor or drift above which nothing passes", "fraction", gt=0, le=10)
    min_term_share: float = field("of the total, above which a term is judged", "fraction", ge=0, le=1)
    terms: TermTolerances
    network_relative: float = field("network time off the link formula, relative part", "fraction", ge=0, le=10)
    network_absolute_ms: float = field("the same, absolute part", "ms", ge=0, le=10_000)
    max_other_share: float = field("share of a request that no term explains", "fraction", gt=0, le=1)
    selftest: bool = field("true: plant faults and see the gate turn red")

    def term(self, name: str) -> TermTolerance:
        """The tolerance of a term of `TERMS`."""
        tolerance: TermTolerance = getattr(self.terms, name)
        return tolerance
