"""Reader of the profiles that the paper's authors recorded (their public repository ScissionTL).

They are pickles, and a pickle from elsewhere is hostile input: the reader admits their record class and NumPy
scalars, both through stand-ins of its own, and nothing else, so that loading one runs no foreign code.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.errors import SpecError

#: Recorded sizes are those of an .npy file: this header and the data.
NPY_HEADER_BYTES = 128
#: The authors' mark for a time that does not exist (no transfer layer possible) or was not taken.
ABSENT = -1
#: Opcodes that allocate what they announce, before it is read, or that fetch from elsewhere.
_GREEDY = ("BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")


@dataclass(frozen=True)
class LayerBenchmark:
    """One recorded block of a model on one tier.

    model                of the zoo, e.g. `densenet169`
    tier                 what it ran on, e.g. `tx2_cpu`; empty where the file itself is the tier
    input_layer          Keras index of the block's first layer (0 where it starts at the input)
    output_layer         Keras index of its last layer, in the layer table of TensorFlow 2.3
    compute_s            time of the block (in the Triton edge file: of the whole suffix)
    output_npy_bytes     its output as an .npy file, header included; 0 where not recorded
    tl_output_npy_bytes  the same after DeviceTL; 0 where impossible or not recorded
    downsample_s         DeviceTL on the output; None where impossible or not recorded
    upsample_s           EdgeTL on the smaller tensor; None likewise
    convert_s            (de)serialisation of the smaller tensor; None likewise
    """

    model: str
    tier: str
    input_layer: int
    output_layer: int
    compute_s: float
    output_npy_bytes: int
    tl_output_npy_bytes: int
    downsample_s: float | None
    upsample_s: float | None
    convert_s: float | None


def read_profiles(path: Path | str) -> list[LayerBenchmark]:
    """All records of one .dat file, in its order.

    Raises:
        SpecError: no such file, not a pickle, one that holds anything but the authors' records, or a record with a
            time or a size that cannot be (NaN, negative).
    """
    file = Path(path)
    try:
        data = file.read_bytes()
        _check_opcodes(data)
        content = _RestrictedUnpickler(io.BytesIO(data)).load()
    except OSError as error:
        raise SpecError(
            f"recorded profile {str(file)!r} cannot be read ({error.strerror}); give a .dat file"
        ) from error
    except Exception as error:  # a damaged pickle may raise any type: "but not limited to", says its documentation
        raise _unreadable(file, error) from error
    try:
        return [_benchmark(record) for record in _records(content)]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(file, error) from error


class _Record:
    """Stand-in for the authors' class: the pickle only fills its attributes."""


class _DType:
    """Stand-in for `numpy.dtype` as pickled: a type code, then a state with the byte order second."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f4", "f8", "i4", "i8"):
            raise pickle.UnpicklingError(f"NumPy scalar of type {code!r}; allowed: f4, f8, i4, i8")
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _stand_ins() -> dict[tuple[str, str], Any]:
    """What a pickle may name. Made anew for each file: a hostile one can set attributes on whatever it may name."""

    class Record(_Record):
        pass

    class DType(_DType):
        pass

    def scalar(dtype: _DType, data: bytes) -> float | int:
        values: list[float | int] = np.frombuffer(data, dtype=f"{dtype.order}{dtype.code}").tolist()
        if len(values) != 1:
            raise pickle.UnpicklingError(f"NumPy scalar of {len(values)} values; allowed: 1")
        return values[0]

    return {
        ("__main__", "LayerBenchmark"): Record,
        ("numpy.core.multiarray", "scalar"): scalar,
        ("numpy", "dtype"): DType,
    }


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._admitted = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._admitted:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._admitted[module, name]


def _check_opcodes(data: bytes) -> None:
    """Raise UnpicklingError for what could make the unpickler take far more memory than the file has bytes."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _GREEDY:
            raise pickle.UnpicklingError(f"it has the opcode {opcode.name}")
        if opcode.name.endswith("PUT") and int(argument or 0) > len(data):  # the memo is an array up to that index
            raise pickle.UnpicklingError(f"it remembers an object number {argument}, in {len(data)} bytes")


def _records(content: object) -> Iterator[dict[str, Any]]:
    """Attributes of each record, from a list of records or a dict of lists of them."""
    lists = list(content.values()) if isinstance(content, dict) else [content]
    for items in lists:
        if not isinstance(items, list):
            raise ValueError(f"a {type(items).__name__} where a list of records is due")
        for item in items:
            if not isinstance(item, _Record):
                raise ValueError(f"a {type(item).__name__} where a record is due")
            yield vars(item)


def _benchmark(record: dict[str, Any]) -> LayerBenchmark:
    """A record's attributes, checked; raises what a missing or wrong one raises."""
    first, last = _count(record, "input_layer"), _count(record, "output_layer")
    if first > last:
        raise ValueError(f"a block from layer {first} to {last}: it ends before it starts")
    return LayerBenchmark(
        model=_text(record["model"]),
        tier=_text(record["name"] if "name" in record else record["device"]),
        input_layer=first,
        output_layer=last,
        compute_s=_time_s(record, "second_prediction"),
        output_npy_bytes=_count(record, "output_size"),
        tl_output_npy_bytes=_count(record, "tl_output_size"),
        downsample_s=_optional_time_s(record, "downsample_time"),
        upsample_s=_optional_time_s(record, "upsample_time"),
        convert_s=_optional_time_s(record, "dataconvert_time"),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a name is due")
    return value


def _number(record: dict[str, Any], name: str) -> float:
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a {type(value).__name__}, a number is due")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, a finite number is due")
    return value


def _count(record: dict[str, Any], name: str) -> int:
    value = _number(record, name)
    if value != int(value) or value < 0:
        raise ValueError(f"{name} is {value}, a whole number of at least 0 is due")
    return int(value)


def _time_s(record: dict[str, Any], name: str) -> float:
    value = float(_number(record, name))
    if value < 0:
        raise ValueError(f"{name} is {value:g} s, a time is not negative")
    return value


def _optional_time_s(record: dict[str, Any], name: str) -> float | None:
    return None if record.get(name) in (None, ABSENT) else _time_s(record, name)


def _unreadable(file: Path, error: Exception) -> SpecError:
    return SpecError(
        f"recorded profile {str(file)!r} is not one ({type(error).__name__}: {' '.join(str(error).split())}); "
        "allowed: a pickle of the authors' LayerBenchmark records and nothing else"
    )
