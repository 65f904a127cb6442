"""Labels: names with parameters, written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.labels import format_label, parse_label

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,9}", fullmatch=True)
values = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6).filter(lambda x: not x.is_integer() and "e" not in repr(x)),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,9}", fullmatch=True).filter(
        lambda text: text.lower() not in ("nan", "inf")
    ),
)


@given(names, st.dictionaries(names, values, max_size=4))
def test_a_label_comes_back_from_its_text(name, parameters):
    assert parse_label(format_label(name, parameters)) == (name, parameters)


def test_labels_as_a_reader_sees_them():
    assert format_label("maxpool", {}) == "maxpool"
    assert format_label("maxpool", {"pool": 3, "interpolation": "bilinear"}) == "maxpool:pool=3,interpolation=bilinear"
    assert format_label("uint8", {"percentile": 99.0}) == "uint8:percentile=99"
    assert parse_label("uint8:percentile=99.9") == ("uint8", {"percentile": 99.9})
    assert parse_label("x:a=007,b=nan,c=1e5") == ("x", {"a": "007", "b": "nan", "c": "1e5"})


@pytest.mark.parametrize(
    "text", ["", ":", "a:", "a:b", "a:b=", "a:=c", "a:b=c,", "a:b=c,b=d", "a/b", "a b", "a:b=c d", "1a"]
)
def test_what_is_no_label_is_one_line(text):
    with pytest.raises(ValueError, match="not a label") as caught:
        parse_label(text)
    assert "\n" not in str(caught.value)


def test_a_value_that_would_not_parse_is_not_written():
    with pytest.raises(ValueError, match="not a label"):
        format_label("maxpool", {"interpolation": "a,b"})


@pytest.mark.parametrize("value", [1e-05, 2.5e-10, 1e22, 0.1, 3.0])
def test_a_number_comes_back_as_a_number(value):
    assert parse_label(format_label("mine", {"scale": value})) == ("mine", {"scale": pytest.approx(value)})
