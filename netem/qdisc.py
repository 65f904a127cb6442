"""Between a spec and what netlink says of a qdisc: keywords there, plain units back."""

from typing import TYPE_CHECKING, Any

from netem.distributions import table
from netem.impairments import GilbertElliott
from netem.link import ETHERNET_HEADER_BYTES
from netem.units import microseconds

if TYPE_CHECKING:
    from netem.interfaces import End

NETEM_LIMIT_PACKETS = 200_000
"""netem's limit counts packets in flight, and must never be what drops; bfifo's limit is the queue."""


def netem_keywords(end: "End") -> dict[str, Any]:
    """What ``netem.netem_options`` takes for one end; shares in per cent there, fractions here."""
    impairments = end.impairments
    keywords: dict[str, Any] = {
        "delay": microseconds(end.delay_ms),
        "limit": NETEM_LIMIT_PACKETS,
        "prob_reorder": 100 * impairments.reorder,
        "duplicate": 100 * impairments.duplicate,
        "prob_corrupt": 100 * impairments.corrupt,
        "seed": end.seed,
    }
    if impairments.jitter_ms:
        keywords |= {
            "jitter": microseconds(impairments.jitter_ms),
            "delay_corr": 100 * impairments.jitter_correlation,
            "distribution": table(impairments.jitter_distribution),
        }
    loss = impairments.loss
    if isinstance(loss, GilbertElliott):
        shares = (loss.to_bad, loss.to_good, loss.loss_bad, loss.loss_good)
        keywords["loss_gemodel"] = tuple(100 * share for share in shares)
    else:
        keywords["loss"] = 100 * loss
    return keywords


def htb_bucket_bytes(end: "End") -> int:
    """Bucket of the htb class: one full frame less than the link's, because htb sends that much on credit.

    tbf, as the theory, sends a frame when the bucket holds all of it; htb when the bucket is not overdrawn.
    """
    return end.burst_bytes - (end.mtu + ETHERNET_HEADER_BYTES)


def describe(message: Any) -> dict[str, Any]:
    """A qdisc as the kernel reports it (pyroute2's message), in plain units."""
    described: dict[str, Any] = {
        "kind": message.get_attr("TCA_KIND"),
        "handle": _handle_text(message["handle"]),
        "parent": "root" if message["parent"] == 0xFFFFFFFF else _handle_text(message["parent"]),
    }
    options = message.get_attr("TCA_OPTIONS")
    if described["kind"] == "bfifo":
        described |= {"limit_bytes": options["limit"]}
    elif described["kind"] == "netem":
        described |= _describe_netem(options)
    statistics = message.get_attr("TCA_STATS2")
    if statistics is not None and (queue := statistics.get_attr("TCA_STATS_QUEUE")) is not None:
        described |= {"drops": queue["drops"]}
    return described


def describe_class(message: Any) -> dict[str, Any]:
    """A class of htb as the kernel reports it, in plain units."""
    parameters = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
    rate = parameters["rate"]
    return {
        "rate_bytes_per_s": rate,
        "ceil_bytes_per_s": parameters["ceil"],
        # The kernel keeps the bucket as the time that it takes to fill, in ticks of 64 ns.
        "burst_bytes": round(rate * parameters["buffer"] * 64e-9),
    }


def _describe_netem(options: Any) -> dict[str, Any]:
    described = {
        "delay_us": round(options["delay"] * 64e-3),
        "jitter_us": round(options["jitter"] * 64e-3),
        "limit_packets": options["limit"],
        "duplicate": _fraction(options["duplicate"]),
        "loss": _fraction(options["loss"]),
    }
    for attribute, field, name in (
        ("TCA_NETEM_CORR", "delay_corr", "jitter_correlation"),
        ("TCA_NETEM_REORDER", "prob_reorder", "reorder"),
        ("TCA_NETEM_CORRUPT", "prob_corrupt", "corrupt"),
    ):
        value = options.get_attr(attribute)
        described[name] = 0.0 if value is None else _fraction(value[field])
    model = options.get_attr("TCA_NETEM_LOSS")
    chain = None if model is None else model.get_attr("NETEM_LOSS_GE")
    if chain is not None:
        shares = (chain["p"], chain["r"], 2**32 - 1 - chain["h"], chain["k1"])
        described["loss"] = [_fraction(share) for share in shares]
    # None where the kernel takes no seed (before 6.6).
    described["seed"] = options.get_attr("TCA_NETEM_PRNG_SEED")
    return described


def _fraction(share: int) -> float:
    return round(share / (2**32 - 1), 9)


def _handle_text(handle: int) -> str:
    minor = handle & 0xFFFF
    return f"{handle >> 16:x}:{minor:x}" if minor else f"{handle >> 16:x}:"
