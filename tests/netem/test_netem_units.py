import pytest
from hypothesis import given
from hypothesis import strategies as st

from netem import LinkSpecError, parse_duration_ms, parse_rate_mbps
from netem.units import bytes_per_s, microseconds, milliseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("57mbit", 57.0), ("37.5Mbit", 37.5), (" 1 gbit ", 1000.0), ("64kbit", 0.064), ("1000000bit", 1.0)],
)
def test_rates(text: str, expected: float) -> None:
    assert parse_rate_mbps(text) == pytest.approx(expected)


@pytest.mark.parametrize(("text", "expected"), [("28ms", 28.0), ("500us", 0.5), (".1s", 100.0)])
def test_durations(text: str, expected: float) -> None:
    assert parse_duration_ms(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["57", "mbit", "-3mbit", "57mbps", "nan mbit", "1e3mbit", "", "9" * 400 + "mbit"])
def test_a_rate_that_is_none_says_what_is_allowed(text: str) -> None:
    with pytest.raises(LinkSpecError, match="57mbit") as caught:
        parse_rate_mbps(text)
    assert "\n" not in str(caught.value)


@given(st.floats(0.064, 10_000))
def test_a_rate_survives_the_kernel_unit(rate_mbps: float) -> None:
    assert bytes_per_s(rate_mbps) * 8 / 1e6 == pytest.approx(rate_mbps, abs=8e-6)


@given(st.floats(0, 10_000))
def test_a_delay_survives_the_kernel_unit(delay_ms: float) -> None:
    assert milliseconds(microseconds(delay_ms)) == pytest.approx(delay_ms, abs=1e-3)
