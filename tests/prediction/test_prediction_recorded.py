"""The reader of recorded profiles: the real ones, and pickles that must not run."""

import contextlib
import io
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

RECORDED = Path(__file__).parents[3] / "shared" / "scissiontl"


def recorded(name: str) -> Path:
    if not (RECORDED / name).is_file():
        pytest.skip(f"no recorded profiles at {RECORDED / name}")
    return RECORDED / name


@pytest.mark.recorded
@pytest.mark.parametrize("name", ["device-tx2_gpu.dat", "edge-ampere.dat", "edge-titan_cpu.dat"])
def test_whole_tiers(name):
    records = read_profiles(recorded(name))
    assert len(records) == 546
    assert len({record.model for record in records}) == 18
    for record in records:
        assert record.compute_s > 0
        assert (record.downsample_s is None) == (record.tl_output_npy_bytes == 0)
    first = next(record for record in records if record.model == "densenet169")
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


def test_a_record_with_a_missing_attribute_is_refused(tmp_path):
    stream = io.BytesIO(b"\x80\x03]c__main__\nLayerBenchmark\n)\x81}X\x05\x00\x00\x00modelX\x05\x00\x00\x00vgg16sba.")
    with pytest.raises(SpecError, match="KeyError"):
        read_profiles(write(tmp_path / "short.dat", stream.getvalue()))


@given(st.binary(max_size=300))
def test_any_bytes_are_profiles_or_one_error(tmp_path_factory, payload):
    path = write(tmp_path_factory.getbasetemp() / "fuzz.dat", payload)
    with contextlib.suppress(SpecError):
        read_profiles(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match=r"give a \.dat file"):
        read_profiles(tmp_path / "none.dat")
