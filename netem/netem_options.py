"""A ``sch_netem`` plugin for pyroute2 that takes every option the kernel has; the same shape as pyroute2's own.

pyroute2 0.9.7 cannot set ``rate`` (it leaks into the request as TCA_RATE, which the kernel refuses with
ERANGE), and has no distribution tables, no Gilbert-Elliott loss, no slots, no seed and no 64-bit fields. ``register()``
puts this module in the place of ``pyroute2.netlink.rtnl.tcmsg.sched_netem``, whose keywords keep their meaning
(delays in microseconds, shares in per cent). Beside them:

    rate            bytes/s, any size: RATE64 is added where 32 bits do not hold it
    distribution    sequence of int16, in 1/8192 of the jitter (``netem.distributions.table``)
    loss_gemodel    (p, r, 1 - h, 1 - k), per cent, as ``tc``'s ``loss gemodel``
    loss_state      (p13, p31, p32, p23, p14), per cent, as ``tc``'s ``loss state``
    slot            (least_ns, most_ns, packets, bytes), as ``tc``'s ``slot``
    seed            of the kernel's random numbers; kernels before 6.6 ignore it: read it back
    ecn             mark instead of drop

Every attribute that the kernel would otherwise keep from before is sent, zero or not, so that a change says
all of what is then in force (a distribution table stays in the kernel, but without jitter it has no effect).
"""

import struct
import sys
from collections.abc import Mapping
from typing import Any

from pyroute2.netlink import nla
from pyroute2.netlink.rtnl import TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import plugins
from pyroute2.netlink.rtnl.tcmsg.common import time2tick

parent = TC_H_ROOT

_U32_MAX = 2**32 - 1
LARGEST_TABLE = 16_384
"""NETEM_DIST_MAX in the kernel's sch_netem.c."""


def register() -> None:
    """Have every ``IPRoute.tc(..., "netem", ...)`` of this process use this module."""
    plugins["netem"] = sys.modules[__name__]


def fix_request(request: dict[str, Any]) -> None:
    """Keep the options' ``rate`` from becoming the request's own TCA_RATE (an estimator), as sched_tbf does."""
    request.pop("rate", None)


def get_parameters(kwarg: Mapping[str, Any]) -> dict[str, Any]:
    """TCA_OPTIONS of a netem qdisc, from the keywords at the top of this module.

    Raises:
        ValueError: a share is not 0 to 100 %, an option lacks the one that it needs, or a table is too long.
    """
    _require_companions(kwarg)
    share = {name: _share(kwarg.get(name, 0)) for name in _SHARES}
    gap = kwarg.get("gap", 0) or (1 if share["prob_reorder"] else 0)
    attributes: list[list[Any]] = [
        ["TCA_NETEM_CORR", {name: share[name] for name in ("delay_corr", "loss_corr", "dup_corr")}],
        ["TCA_NETEM_REORDER", {name: share[name] for name in ("prob_reorder", "corr_reorder")}],
        ["TCA_NETEM_CORRUPT", {name: share[name] for name in ("prob_corrupt", "corr_corrupt")}],
        *_rate(kwarg),
        *_loss_model(kwarg),
        *_slot(kwarg),
    ]
    if kwarg.get("distribution"):
        attributes.append(["TCA_NETEM_DELAY_DIST", _packed_table(kwarg["distribution"])])
    if "ecn" in kwarg:
        attributes.append(["TCA_NETEM_ECN", int(kwarg["ecn"])])
    if kwarg.get("seed") is not None:
        attributes.append(["TCA_NETEM_PRNG_SEED", kwarg["seed"]])
    return {
        "delay": time2tick(kwarg.get("delay", 0)),
        "limit": kwarg.get("limit", 1000),
        "loss": share["loss"],
        "gap": gap,
        "duplicate": share["duplicate"],
        "jitter": time2tick(kwarg.get("jitter", 0)),
        "attrs": attributes,
    }


_SHARES = (
    *("loss", "loss_corr", "duplicate", "dup_corr", "delay_corr"),
    *("prob_reorder", "corr_reorder", "prob_corrupt", "corr_corrupt"),
)
_COMPANIONS = {
    "delay_corr": "jitter",
    "loss_corr": "loss",
    "dup_corr": "duplicate",
    "gap": "prob_reorder",
    "corr_reorder": "prob_reorder",
    "corr_corrupt": "prob_corrupt",
    "distribution": "jitter",
    "packet_overhead": "rate",
    "cell_size": "rate",
    "cell_overhead": "rate",
}


def _require_companions(kwarg: Mapping[str, Any]) -> None:
    for option, companion in _COMPANIONS.items():
        if kwarg.get(option) and not kwarg.get(companion):
            raise ValueError(f"netem option {option} has no effect without {companion}: give {companion} too")
    models = [name for name in ("loss", "loss_gemodel", "loss_state") if kwarg.get(name)]
    if len(models) > 1:
        raise ValueError(f"netem options {' and '.join(models)} exclude each other: give one loss model")


def _share(percent: float) -> int:
    if not 0 <= percent <= 100:
        raise ValueError(f"netem share {percent!r} is not a percentage: allowed is 0 to 100")
    return round(percent / 100 * _U32_MAX)


def _rate(kwarg: Mapping[str, Any]) -> list[list[Any]]:
    rate = kwarg.get("rate") or 0
    overheads = {name: kwarg.get(name, 0) for name in ("packet_overhead", "cell_size", "cell_overhead")}
    attributes: list[list[Any]] = [["TCA_NETEM_RATE", {"rate": min(rate, _U32_MAX), **overheads}]]
    if rate > _U32_MAX:
        attributes.append(["TCA_NETEM_RATE64", rate])
    return attributes


def _loss_model(kwarg: Mapping[str, Any]) -> list[list[Any]]:
    if kwarg.get("loss_gemodel"):
        p, r, loss_bad, loss_good = (_share(percent) for percent in kwarg["loss_gemodel"])
        fields = {"p": p, "r": r, "h": _U32_MAX - loss_bad, "k1": loss_good}
        return [["TCA_NETEM_LOSS", {"attrs": [["NETEM_LOSS_GE", fields]]}]]
    if kwarg.get("loss_state"):
        names = ("p13", "p31", "p32", "p23", "p14")
        fields = {name: _share(percent) for name, percent in zip(names, kwarg["loss_state"], strict=True)}
        return [["TCA_NETEM_LOSS", {"attrs": [["NETEM_LOSS_GI", fields]]}]]
    return []  # the kernel then goes back to the independent ``loss`` of the fixed part


def _slot(kwarg: Mapping[str, Any]) -> list[list[Any]]:
    if "slot" not in kwarg:
        return []
    least_ns, most_ns, packets, size = kwarg["slot"]
    fields = {"min_delay": least_ns, "max_delay": most_ns, "max_packets": packets, "max_bytes": size}
    return [["TCA_NETEM_SLOT", {**fields, "dist_delay": 0, "dist_jitter": 0}]]


def _packed_table(values: Any) -> bytes:
    if len(values) > LARGEST_TABLE:
        raise ValueError(f"netem distribution has {len(values)} values: the kernel takes up to {LARGEST_TABLE}")
    return struct.pack(f"{len(values)}h", *values)


class options(nla):  # type: ignore[misc]  # noqa: N801  (pyroute2 finds it by this name)
    """struct tc_netem_qopt and the attributes behind it (<linux/pkt_sched.h>)."""

    nla_map = (
        ("TCA_NETEM_UNSPEC", "none"),
        ("TCA_NETEM_CORR", "netem_corr"),
        ("TCA_NETEM_DELAY_DIST", "cdata"),
        ("TCA_NETEM_REORDER", "netem_reorder"),
        ("TCA_NETEM_CORRUPT", "netem_corrupt"),
        ("TCA_NETEM_LOSS", "netem_loss"),
        ("TCA_NETEM_RATE", "netem_rate"),
        ("TCA_NETEM_ECN", "uint32"),
        ("TCA_NETEM_RATE64", "uint64"),
        ("TCA_NETEM_PAD", "hex"),
        ("TCA_NETEM_LATENCY64", "int64"),
        ("TCA_NETEM_JITTER64", "int64"),
        ("TCA_NETEM_SLOT", "netem_slot"),
        ("TCA_NETEM_SLOT_DIST", "cdata"),
        ("TCA_NETEM_PRNG_SEED", "uint64"),
    )
    fields = tuple((name, "I") for name in ("delay", "limit", "loss", "gap", "duplicate", "jitter"))

    class netem_corr(nla):  # type: ignore[misc]  # noqa: N801
        """Correlations."""

        fields = (("delay_corr", "I"), ("loss_corr", "I"), ("dup_corr", "I"))

    class netem_reorder(nla):  # type: ignore[misc]  # noqa: N801
        """Reordering."""

        fields = (("prob_reorder", "I"), ("corr_reorder", "I"))

    class netem_corrupt(nla):  # type: ignore[misc]  # noqa: N801
        """Corruption."""

        fields = (("prob_corrupt", "I"), ("corr_corrupt", "I"))

    class netem_rate(nla):  # type: ignore[misc]  # noqa: N801
        """Rate and the cells that it is counted in."""

        fields = (("rate", "I"), ("packet_overhead", "i"), ("cell_size", "I"), ("cell_overhead", "i"))

    class netem_slot(nla):  # type: ignore[misc]  # noqa: N801
        """Bursts of transmission."""

        fields = (
            *(("min_delay", "q"), ("max_delay", "q"), ("max_packets", "i"), ("max_bytes", "i")),
            *(("dist_delay", "q"), ("dist_jitter", "q")),
        )

    class netem_loss(nla):  # type: ignore[misc]  # noqa: N801
        """One of the two loss models with a state."""

        nla_map = (("NETEM_LOSS_UNSPEC", "none"), ("NETEM_LOSS_GI", "gi"), ("NETEM_LOSS_GE", "ge"))

        class gi(nla):  # type: ignore[misc]  # noqa: N801
            """The four-state model, in the kernel's order."""

            fields = (("p13", "I"), ("p31", "I"), ("p32", "I"), ("p14", "I"), ("p23", "I"))

        class ge(nla):  # type: ignore[misc]  # noqa: N801
            """Gilbert-Elliott: h is kept as the probability of no loss, k1 as that of a loss."""

            fields = (("p", "I"), ("r", "I"), ("h", "I"), ("k1", "I"))
