"""What of transfer layers and wire formats a cell ranks and measures, and what it refuses before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from harness import app
from harness.cell import encodings
from harness.errors import SpecError
from harness.spec import PROJECT, Spec
from harness.transfer.encoding import RANKED, Encoding


def spec(*arguments: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", list(arguments)))


POOL_3 = ("transfer_layer=maxpool", "transfer_layer.pool=3")


def test_the_main_job_ranks_the_paper_s_two_and_measures_its_transfer_layer() -> None:
    assert encodings.own(spec()) == Encoding("maxpool")
    assert encodings.ranked(spec()) == RANKED
    assert encodings.measured(spec()) == (Encoding("maxpool"),)


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (POOL_3, Encoding("maxpool:pool=3")),
        ((*POOL_3, "transfer_layer.interpolation=bicubic"), Encoding("maxpool:pool=3,interpolation=bicubic")),
        (("transfer_layer=bottleneck", "wire_format=uint8"), Encoding("bottleneck", "uint8")),
        (("wire_format=uint8", "wire_format.percentile=99.9"), Encoding("maxpool", "uint8:percentile=99.9")),
        (("wire_format=float16", "transfer_layer=none"), Encoding("none", "float16")),
        (
            ("wire_format=uint8", "wire_format.entropy=zlib", "wire_format.force=true"),
            Encoding("maxpool", "uint8+zlib!random"),
        ),
        (
            ("wire_format=jpeg", "wire_format.quality=75", "model.weights=imagenet"),
            Encoding("maxpool", "uint8+jpeg:quality=75"),
        ),
        (
            ("wire_format=float32", "wire_format.entropy=zstd", "wire_format.level=9", "model.weights=imagenet"),
            Encoding("maxpool", "float32+zstd:level=9"),
        ),
    ],
)
def test_what_else_a_cell_asks_for_is_ranked_beside_them(arguments: tuple[str, ...], own: Encoding) -> None:
    found = spec(*arguments)
    assert encodings.own(found) == own
    assert encodings.ranked(found) == (*RANKED, own)
    assert encodings.measured(found) == (own,)
    assert Spec.from_yaml(found.to_yaml()) == found
    app.check(found)


def test_measured_are_the_named_layers_in_the_cell_s_format() -> None:
    found = spec(
        *POOL_3, "wire_format=uint8", "measure.transfer_layers=[maxpool,none,'maxpool:pool=2','avgpool:pool=4']"
    )
    own = [Encoding(name, "uint8") for name in ("maxpool:pool=3", "none", "maxpool", "avgpool:pool=4")]
    assert encodings.measured(found) == tuple(own)
    assert encodings.ranked(found) == (*RANKED, *own)


def test_by_force_what_is_untrained_is_marked_and_nothing_else() -> None:
    packed = ("wire_format=uint8", "wire_format.entropy=zstd", "wire_format.force=true", "model.weights=imagenet")
    found = spec(*packed, "measure.transfer_layers=[maxpool,bottleneck]")
    assert encodings.measured(found) == (Encoding("maxpool", "uint8+zstd"), Encoding("bottleneck", "uint8+zstd!random"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wire_format=uint8", "wire_format.entropy=zlib"), ("uint8+zlib", "random weights", "wire_format.force=true")),
        (("wire_format=jpeg",), ("uint8+jpeg", "model.weights=null", "wire_format.force=true")),
        (
            ("wire_format=jpeg", "model.weights=imagenet", "transfer_layer=bottleneck"),
            ("an untrained bottleneck", "wire_format.force=true"),
        ),
        (("wire_format=float32", "+wire_format.percentile=99"), ("no parameter 'percentile'",)),
        (("wire_format=float16", "wire_format.entropy=jpeg"), ("JPEG packs bytes", "wire_format=uint8")),
        (("wire_format=uint8", "wire_format.level=3"), ("no parameter 'level'", "allowed: none")),
        (("wire_format=uint8", "wire_format.entropy=zlib", "wire_format.level=12"), ("level=12", "1 to 9")),
        (("wire_format=jpeg", "wire_format.level=3"), ("no parameter 'level'", "allowed: quality")),
        (("wire_format=uint8", "wire_format.percentile=30"), ("wire_format.percentile=30", "above 50 and at most 100")),
        (("wire_format=uint8", "wire_format.entropy=lzma"), ("wire_format.entropy=lzma", "none, zlib, zstd, jpeg")),
        (("wire_format.name=uint9",), ("got 'uint9'", "did you mean 'uint8'")),
        (("transfer_layer.pool=5",), ("transfer_layer.pool=5", "2, 3, 4")),
        (("transfer_layer.interpolation=cubic",), ("transfer_layer.interpolation=cubic", "did you mean 'bicubic'")),
        (("transfer_layer=bottleneck", "transfer_layer.ratio=3"), ("transfer_layer.ratio=3", "2, 4, 8")),
        (("transfer_layer=none", "+transfer_layer.pool=3"), ("none: no parameter 'pool'",)),
        (("transfer_layer.name=maxpol",), ("did you mean 'maxpool'",)),
        (("measure.transfer_layers=['maxpool:pool=9']",), ("pool=9 is not allowed", "2, 3, 4")),
        (("measure.transfer_layers=['maxpol:pool=3']",), ("did you mean 'maxpool'",)),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        app.check(spec(*arguments))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("transfer_layer=bottleneck", "transfer_layer.pool=3"), "the chosen transfer_layer has no 'pool'"),
        (("wire_format=uint8", "wire_format.entropy=zlib"), "wire_format.force=true"),
    ],
)
def test_it_ends_with_2_and_nothing_is_started(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "run.py", *arguments, f"hydra.run.dir={tmp_path / 'cell'}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cell" / "splits.csv").exists()
