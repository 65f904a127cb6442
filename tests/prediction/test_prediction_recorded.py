"""The reader of recorded profiles: the real ones, and pickles that must not run."""

import contextlib
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.prediction.recorded import NPY_HEADER_BYTES, read_profiles
from tests.prediction.recordings import MODELS, block, pickled, record, recorded, toy_tier


@pytest.mark.recorded
@pytest.mark.parametrize("name", ["device-tx2_gpu.dat", "edge-ampere.dat", "edge-titan_cpu.dat"])
def test_whole_tiers(name):
    records = read_profiles(recorded(name))
    assert len(records) == 546
    assert {each.model for each in records} == set(MODELS)
    for each in records:
        assert each.compute_s > 0
        assert (each.downsample_s is None) == (each.tl_output_npy_bytes == 0)
    first = next(each for each in records if each.model == "densenet169")
    assert (first.input_layer, first.output_layer) == (0, 1)
    assert first.output_npy_bytes == 4 * math.prod((230, 230, 3)) + NPY_HEADER_BYTES
    assert first.tl_output_npy_bytes == 4 * math.prod((115, 115, 3)) + NPY_HEADER_BYTES


@pytest.mark.recorded
def test_triton_profiles_with_their_numpy_scalars_and_oddities():
    suffixes = read_profiles(recorded("triton/edge-ampere-densenet169.dat"))
    assert [record.tier for record in suffixes] == ["ampere"] * 20
    times_ms = {record.input_layer: 1000 * record.compute_s for record in suffixes}
    assert times_ms[51] == pytest.approx(13.9, abs=0.05)  # the known outlier: the suffix after layer 50
    device = read_profiles(recorded("triton/device-tx2_cpu-densenet169.dat"))
    assert {record.tier for record in device} == {"tx2_cpu"}
    assert all(record.upsample_s is None for record in device)


def write(path: Path, payload: bytes) -> Path:
    path.write_bytes(payload)
    return path


class Runs:
    """Pickles to a call of os.mkdir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_names_anything_else_is_refused_and_does_not_run(tmp_path, protocol):
    target = tmp_path / "made"
    path = write(tmp_path / "hostile.dat", pickle.dumps([Runs(target)], protocol))
    with pytest.raises(SpecError, match=r"it names (posix|nt)\.mkdir") as caught:
        read_profiles(path)
    assert not target.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [3, [1, 2], {"densenet169": 4}, [[]], [np.float64(1)], np.zeros(3), [np.array([object()])]]
)
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    with pytest.raises(SpecError, match="allowed: a pickle of the authors' LayerBenchmark records"):
        read_profiles(write(tmp_path / "other.dat", pickle.dumps(content)))


def refusal(path: Path, content: object) -> str:
    with pytest.raises(SpecError) as caught:
        read_profiles(write(path / "bad.dat", pickled(content)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_record_with_a_missing_attribute_is_refused(tmp_path):
    assert "KeyError" in refusal(tmp_path, [record(model="vgg16")])


@pytest.mark.parametrize(
    ("attribute", "value", "part"),
    [
        ("second_prediction", math.nan, "second_prediction is nan, a finite number is due"),
        ("second_prediction", -0.2, "second_prediction is -0.2 s, a time is not negative"),
        ("second_prediction", -1, "second_prediction is -1 s"),
        ("second_prediction", "0.1", "second_prediction is a str"),
        ("second_prediction", True, "second_prediction is a bool"),
        ("downsample_time", math.inf, "downsample_time is inf"),
        ("upsample_time", -3.0, "upsample_time is -3 s"),
        ("dataconvert_time", math.nan, "dataconvert_time is nan"),
        ("output_size", -128, "output_size is -128, a whole number of at least 0 is due"),
        ("tl_output_size", 10.5, "tl_output_size is 10.5"),
        ("input_layer", 9, "a block from layer 9 to 2"),
        ("model", b"vgg16", "a bytes where a name is due"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(tmp_path, attribute, value, part):
    assert part in refusal(tmp_path, [block("vgg16", 0, 2, 0.1, **{attribute: value})])


def test_a_file_cut_short_is_refused_in_one_line(tmp_path):
    whole = toy_tier(tmp_path / "whole.dat").read_bytes()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(SpecError) as caught:
            read_profiles(write(tmp_path / "short.dat", whole[:length]))
        assert "\n" not in str(caught.value)


@given(st.data())
def test_any_mutated_byte_gives_records_or_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(toy_tier(folder / "whole.dat").read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    records, refused = [], ""
    try:
        records = read_profiles(write(folder / "mutated.dat", bytes(whole)))
    except SpecError as error:
        refused = str(error)
    assert "\n" not in refused
    assert all(math.isfinite(each.compute_s) and each.compute_s >= 0 for each in records)
    assert len(read_profiles(folder / "whole.dat")) == 4  # nothing that a file does lasts


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",  # BYTEARRAY8 of a terabyte
        b"\x80\x04]r\xff\xff\xff\x7f.",  # LONG_BINPUT: a memo of 2^31 places
        b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"x.",  # BINUNICODE8 of a terabyte
    ],
)
def test_a_file_that_asks_for_more_memory_than_it_has_bytes_is_refused(tmp_path, bomb):
    with pytest.raises(SpecError):
        read_profiles(write(tmp_path / "bomb.dat", bomb))


def test_what_a_pickle_sets_on_a_stand_in_is_gone_with_it(tmp_path):
    # GLOBAL, then BUILD with a state whose second half goes to setattr: on the class itself.
    poison = b"\x80\x04c__main__\nLayerBenchmark\nN}\x8c\x05modelK\x01s\x86b."
    with pytest.raises(SpecError):
        read_profiles(write(tmp_path / "poison.dat", poison))
    assert "KeyError" in refusal(tmp_path, [record(name="")])


@given(st.binary(max_size=300))
def test_any_bytes_are_profiles_or_one_error(tmp_path_factory, payload):
    path = write(tmp_path_factory.getbasetemp() / "fuzz.dat", payload)
    with contextlib.suppress(SpecError):
        read_profiles(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match=r"give a \.dat file"):
        read_profiles(tmp_path / "none.dat")
