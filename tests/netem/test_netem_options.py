"""The plugin without a kernel: what goes into the request (a live kernel takes it in ``test_netem_uml.py``)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import plugins

from netem import netem_options
from netem.distributions import table

U32 = 2**32 - 1


def attributes(**keywords: object) -> dict[str, object]:
    return dict(netem_options.get_parameters(keywords)["attrs"])


def test_it_takes_the_place_of_pyroute2_s_own() -> None:
    netem_options.register()
    assert plugins["netem"] is netem_options
    request = {"rate": 7_500_000, "options": {}}
    netem_options.fix_request(request)
    assert request == {"options": {}}


def test_everything_the_kernel_would_keep_is_sent_even_if_zero() -> None:
    found = attributes(delay=1000)
    assert found["TCA_NETEM_RATE"] == {"rate": 0, "packet_overhead": 0, "cell_size": 0, "cell_overhead": 0}
    for name in ("TCA_NETEM_CORR", "TCA_NETEM_REORDER", "TCA_NETEM_CORRUPT"):
        assert set(found[name].values()) == {0}  # type: ignore[attr-defined]


def test_gilbert_elliott_in_the_kernel_s_terms() -> None:
    chain = attributes(loss_gemodel=(1, 25, 80, 0))["TCA_NETEM_LOSS"]["attrs"][0][1]  # type: ignore[index]
    assert chain == {"p": round(0.01 * U32), "r": round(0.25 * U32), "h": U32 - round(0.8 * U32), "k1": 0}


def test_a_table_is_packed_as_int16() -> None:
    packed = attributes(delay=1000, jitter=100, distribution=table("normal"))["TCA_NETEM_DELAY_DIST"]
    assert struct.unpack("4096h", packed) == table("normal")  # type: ignore[arg-type]


@given(st.integers(1, 2**40))
def test_a_rate_beyond_32_bits_goes_into_rate64(rate: int) -> None:
    found = attributes(rate=rate)
    assert found["TCA_NETEM_RATE"]["rate"] == min(rate, U32)  # type: ignore[index]
    assert found.get("TCA_NETEM_RATE64") == (rate if rate > U32 else None)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"loss": 101}, "0 to 100"),
        ({"duplicate": -1}, "0 to 100"),
        ({"delay_corr": 5}, "without jitter"),
        ({"gap": 5}, "without prob_reorder"),
        ({"cell_size": 48}, "without rate"),
        ({"loss": 1, "loss_gemodel": (1, 2, 3, 4)}, "exclude each other"),
        ({"jitter": 5, "distribution": [0] * 16_385}, "up to 16384"),
    ],
)
def test_what_makes_no_sense_is_refused(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        netem_options.get_parameters(keywords)
