"""Made-up recordings in the form of the authors' files, and where the real ones are."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.spec import PROJECT

RECORDED = PROJECT.parent / "shared" / "scissiontl"
MODELS = [
    "densenet121",
    "densenet169",
    "densenet201",
    "inception_v3",
    "inceptionresnet_v2",
    "mobilenet",
    "mobilenetv2",
    "nasnetlarge",
    "nasnetmobile",
    "resnet50",
    "resnet50v2",
    "resnet101",
    "resnet101v2",
    "resnet152",
    "resnet152v2",
    "vgg16",
    "vgg19",
    "xception",
]


def recorded(name: str = "") -> Path:
    """A file or folder of the real recordings; skips the test where they are not."""
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"no recorded profiles at {path}")
    return path


class LayerBenchmark:
    """As the authors' class pickles: by its attributes, under the name `__main__.LayerBenchmark`."""

    __module__ = "__main__"
    __qualname__ = "LayerBenchmark"


def record(**attributes: Any) -> LayerBenchmark:
    own = LayerBenchmark()
    vars(own).update(attributes)
    return own


def block(name: str, first: int, last: int, seconds: float, **other: Any) -> LayerBenchmark:
    """One block with every attribute that the authors' have."""
    attributes: dict[str, Any] = {
        "model": name,
        "name": "",
        "input_layer": first,
        "output_layer": last,
        "second_prediction": seconds,
        "output_size": 4128,
        "tl_output_size": 1128,
        "downsample_time": 0.001,
        "upsample_time": 0.002,
        "dataconvert_time": 0.0005,
    }
    return record(**{**attributes, **other})


def pickled(content: object, protocol: int = 4) -> bytes:
    """The bytes of a .dat file."""
    main = sys.modules["__main__"]
    before = getattr(main, "LayerBenchmark", None)
    main.LayerBenchmark = LayerBenchmark  # type: ignore[attr-defined]
    try:
        return pickle.dumps(content, protocol)
    finally:
        if before is None:
            del main.LayerBenchmark  # type: ignore[attr-defined]
        else:
            main.LayerBenchmark = before  # type: ignore[attr-defined]


def write(path: Path, records: Iterable[LayerBenchmark]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickled({"all": list(records)}))
    return path


def toy_tier(path: Path, model: str = "vgg16", *, factor: float = 1.0) -> Path:
    """Four blocks of a toy network; the last but one has no spatial axes left, the last is its output."""
    impossible = {"tl_output_size": 0, "downsample_time": -1, "upsample_time": -1, "dataconvert_time": -1}
    return write(
        path,
        [
            block(model, 0, 2, factor * 0.010, output_size=80_128, tl_output_size=20_128),
            block(model, 3, 7, factor * 0.020, output_size=40_128, tl_output_size=10_128),
            block(model, 8, 8, factor * 0.030, output_size=528, **impossible),
            block(model, 9, 9, factor * 0.001, output_size=4128, **impossible),
        ],
    )


def toy_folder(folder: Path, model: str = "vgg16") -> Path:
    toy_tier(folder / "device-tx2_gpu.dat", model)
    toy_tier(folder / "edge-ampere.dat", model, factor=0.1)
    return folder
