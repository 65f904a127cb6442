"""The options of ``python -m netem`` that say which link is asked for."""

import argparse

from netem.distributions import DISTRIBUTIONS
from netem.errors import LinkSpecError
from netem.impairments import GilbertElliott, Impairments
from netem.link import LinkSpec, TcpPolicy
from netem.units import parse_duration_ms, parse_fraction, parse_rate_mbps


def add_link_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which link is asked for, and what may hold it."""
    defaults = LinkSpec(1, 1, 0, 0)
    add = parser.add_argument
    add("--rate", required=True, metavar="RATE", help="device to edge, such as 57mbit or 37.5mbit")
    add("--rate-down", metavar="RATE", help="edge to device (default: as --rate)")
    add("--rtt", default="0ms", metavar="TIME", help="round-trip delay, half each way, such as 28ms")
    add("--delay-up", metavar="TIME", help="one-way delay from device to edge, instead of half the RTT")
    add("--delay-down", metavar="TIME", help="one-way delay from edge to device")
    add("--jitter", default="0ms", metavar="TIME")
    add("--jitter-distribution", default="normal", choices=DISTRIBUTIONS)
    add("--jitter-correlation", default="0%", metavar="SHARE")
    add("--loss", default="0%", metavar="SHARE", help="such as 1%% or 0.01")
    add("--loss-gemodel", metavar="P,R[,1-H[,1-K]]", help="Gilbert-Elliott, four shares")
    add("--reorder", default="0%", metavar="SHARE")
    add("--duplicate", default="0%", metavar="SHARE")
    add("--corrupt", default="0%", metavar="SHARE")
    add("--impair", default="both", choices=("up", "both"), help="which ways the impairments hold (default both)")
    add(
        "--queue",
        type=int,
        metavar="BYTES",
        help="default: twice the larger of 4 MiB and four bandwidth-delay products",
    )
    add("--mtu", type=int, default=defaults.mtu, metavar="BYTES")
    add("--burst", type=int, default=defaults.burst_bytes, metavar="BYTES")
    add("--seed", type=int, default=0)
    add("--congestion-control", default="cubic", metavar="NAME", help="host keeps the host's own (default cubic)")
    add("--initial-window", type=int, default=defaults.tcp.initial_window_segments, metavar="SEGMENTS")
    add("--slow-start-after-idle", action="store_true", help="as Linux does unless told otherwise (default: no)")
    add("--save-metrics", action="store_true", help="carry windows over from one connection to the next (default: no)")
    add("--backend", choices=("netem", "relay", "rate-only"), help="default: netem where the kernel has it, else relay")
    add("--relay-cpu", type=int, metavar="CORE")
    add("--allow-no-delay", action="store_true", help="let rate-only leave a delay out; the result says so")


def link_of(options: argparse.Namespace) -> LinkSpec:
    """The link that the options of ``add_link_options`` ask for.

    Raises:
        LinkSpecError: an option is no number with a unit, or out of range.
    """
    rate_up = parse_rate_mbps(options.rate)
    rate_down = rate_up if options.rate_down is None else parse_rate_mbps(options.rate_down)
    half_ms = parse_duration_ms(options.rtt) / 2
    up_ms = half_ms if options.delay_up is None else parse_duration_ms(options.delay_up)
    down_ms = half_ms if options.delay_down is None else parse_duration_ms(options.delay_down)
    impairments = Impairments(
        jitter_ms=parse_duration_ms(options.jitter),
        jitter_distribution=options.jitter_distribution,
        jitter_correlation=parse_fraction(options.jitter_correlation),
        loss=_loss(options),
        reorder=parse_fraction(options.reorder),
        duplicate=parse_fraction(options.duplicate),
        corrupt=parse_fraction(options.corrupt),
    )
    policy = TcpPolicy(
        congestion_control=None if options.congestion_control == "host" else options.congestion_control,
        slow_start_after_idle=options.slow_start_after_idle,
        save_metrics=options.save_metrics,
        initial_window_segments=options.initial_window,
    )
    return LinkSpec(
        rate_up,
        rate_down,
        up_ms,
        down_ms,
        queue_bytes=options.queue,
        mtu=options.mtu,
        burst_bytes=options.burst,
        tcp=policy,
        impairments_up=impairments,
        impairments_down=Impairments() if options.impair == "up" else impairments,
        seed=options.seed,
    )


def _loss(options: argparse.Namespace) -> float | GilbertElliott:
    if options.loss_gemodel is None:
        return parse_fraction(options.loss)
    shares = [parse_fraction(text) for text in options.loss_gemodel.split(",")]
    if not 2 <= len(shares) <= 4:
        raise LinkSpecError(
            f"--loss-gemodel {options.loss_gemodel!r} is not two to four shares: write for example 1%,25%"
        )
    return GilbertElliott(*shares)
