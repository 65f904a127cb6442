"""The multiplexed edge model for a Triton that has nothing of this harness: laid out as a repository, or sent along.

    python -m harness.offloader.shipping FOLDER
    tritonserver --model-repository=FOLDER

Layout of the model, which is also what the repository API is sent:

    scission/config.pbtxt
    scission/1/model.py      puts harness.zip on its path, and takes the model from it
    scission/1/harness.zip   the sources that the model needs, and nothing else of the harness

The server's Python needs NumPy, Keras and TensorFlow, scikit-learn (the default picture), Pillow and zstandard. A
deployment needs none of this: its folder `triton/python` is a repository already.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from harness.offloader.endpoint import MultiplexedEndpoint
from harness.preprocessor.repository import modules_behind, pbtxt, python_config

_ROOT = "harness.offloader.triton_model"
_MODEL = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("harness.zip")))
from harness.offloader.triton_model import TritonPythonModel  # noqa: E402, F401
"""
#: Of every file in the archive, so that the same sources give the same bytes: the earliest that a zip file can hold.
_DATE = (1980, 1, 1, 0, 0, 0)


def config() -> dict[str, Any]:
    """The model's configuration."""
    return python_config(MultiplexedEndpoint.model_name, replies=True)


def files() -> dict[str, bytes]:
    """The model's files by their path below its folder."""
    return {"1/model.py": _MODEL.encode(), "1/harness.zip": archive()}


def archive() -> bytes:
    """The sources behind the model as a zip file, the same bytes for the same sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for module, file, source in sorted(modules_behind(_ROOT)):
            path = Path(*module.split("."))
            name = path / "__init__.py" if file.name == "__init__.py" else path.with_suffix(".py")
            packed.writestr(zipfile.ZipInfo(str(name), _DATE), source)
    return buffer.getvalue()


def repository_files(model: Path) -> dict[str, bytes]:
    """The files of a model that is laid out in a folder, but its configuration, as `files` gives them."""
    return {
        str(path.relative_to(model)): path.read_bytes()
        for path in sorted(model.rglob("*"))
        if path.is_file() and path.name != "config.pbtxt" and "__pycache__" not in path.parts
    }


def lay_out(repository: Path) -> Path:
    """Write the model into a repository, over an older one of it; its folder."""
    model = repository / MultiplexedEndpoint.model_name
    for name, content in {"config.pbtxt": pbtxt(config()).encode(), **files()}.items():
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(content)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m harness.offloader.shipping", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="model repository, made where it is missing")
    laid_out = lay_out(parser.parse_args().folder)
    print(
        f"{laid_out}: harness.zip sha256:{hashlib.sha256((laid_out / '1/harness.zip').read_bytes()).hexdigest()[:16]}"
    )
    print(f"Start it: tritonserver --model-repository={laid_out.parent}")
