"""A transfer layer from outside of this tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import outside
from harness.errors import SpecError
from harness.spec import PROJECT
from harness.transfer import layers
from harness.transfer.layer import REGISTRY

EXAMPLE = str(PROJECT / "docs" / "examples" / "subsample.py")


@pytest.fixture(autouse=True)
def _registry_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "_classes", dict(REGISTRY._classes))
    monkeypatch.setenv("HARNESS_TRANSFER_LAYERS", "")
    before = set(sys.modules)
    layers._create.cache_clear()
    yield
    layers._create.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("outside_"):
            del sys.modules[name]


def test_a_layer_is_found_by_its_name_here_and_in_processes_started_from_here() -> None:
    layers.use(EXAMPLE)
    layers.use(EXAMPLE)
    assert layers.get("subsample:stride=3").payload_shape((97, 131, 8)) == (33, 44, 8)
    assert layers.get("subsample:stride=2").label == "subsample"
    assert layers.get("subsample").infeasible_because((1000,)) is not None
    code = "from harness.transfer import layers; print(layers.get('subsample').payload_shape((5, 4, 3)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(3, 2, 3)"


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(97, 131, 8), (1, 1, 4), (6, 4, 2)])
@pytest.mark.parametrize("stride", [2, 3])
def test_the_example_of_the_guide_restores_the_shape(shape: tuple[int, ...], stride: int) -> None:
    import numpy as np

    layers.use(EXAMPLE)
    layer = layers.get("subsample", stride=stride)
    x = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    small = layer.device_tl(shape)(x)
    assert tuple(small.shape[1:]) == layer.payload_shape(shape)
    restored = np.asarray(layer.edge_tl(shape)(small))
    assert restored.shape == x.shape
    np.testing.assert_array_equal(restored[:, ::stride, ::stride], x[:, ::stride, ::stride])


def test_what_is_wrong_with_a_source_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    with pytest.raises(SpecError, match="ZeroDivisionError"):
        layers.use(str(broken))
    taken = tmp_path / "taken.py"
    taken.write_text(Path(EXAMPLE).read_text().replace('"subsample"', '"maxpool"'))
    with pytest.raises(SpecError, match="registered twice"):
        layers.use(str(taken))
    with pytest.raises(SpecError, match="no file at"):
        layers.use(str(tmp_path / "missing.py"))
    with pytest.raises(SpecError, match="no module"):
        outside.load("no_such_package.layers", "transfer_layer.source")


@pytest.mark.parametrize("as_module", [False, True])
def test_the_digest_is_of_all_own_code_that_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_module: bool
) -> None:
    package = tmp_path / "nets_of_mine"
    (package / "parts").mkdir(parents=True)
    texts = {
        "net.py": "import numpy\n\n\ndef build():\n    from {0}parts import blocks\n\n    return blocks\n",
        "parts/__init__.py": "",
        "parts/blocks.py": "from . import sizes\nfrom .. import nothing_there\n",
        "parts/sizes.py": "SIZE = 1\n",
        "parts/unused.py": "SIZE = 1\n",
        "numbers.py": "",
    }
    for name, text in texts.items():
        (package / name).write_text(text.format("nets_of_mine." if as_module else ""))
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "nets_of_mine.net" if as_module else str(package / "net.py")
    before = outside.digest(source, "key")
    for name, counts in (("parts/sizes.py", True), ("parts/unused.py", False), ("numbers.py", False), ("net.py", True)):
        own = (package / name).read_text()
        (package / name).write_text(own + "# changed\n")
        assert (outside.digest(source, "key") != before) == counts, name
        (package / name).write_text(own)
    assert outside.digest(source, "key") == before
    (package / "parts" / "sizes.py").write_text("this is no Python")
    assert outside.digest(source, "key") != before
