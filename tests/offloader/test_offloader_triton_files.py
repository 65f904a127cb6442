"""What is laid out for Triton, and what is read of it, without starting it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CapabilityError, EdgeError
from harness.offloader import triton_server
from harness.offloader.observation import ServerTimes
from harness.offloader.triton_server import Trace, addressed, lay_out

#: What tritonserver 2.51 wrote for one echo of 2,000 bytes.
STAMPS = {
    "REQUEST_START": 4373169353933,
    "QUEUE_START": 4373169373863,
    "COMPUTE_START": 4373169399761,
    "COMPUTE_INPUT_END": 4373169453591,
    "COMPUTE_OUTPUT_START": 4373169842460,
    "COMPUTE_END": 4373169889289,
    "REQUEST_END": 4373169895098,
    "GRPC_WAITREAD_START": 4364298730820,
    "GRPC_WAITREAD_END": 4373169309497,
    "INFER_RESPONSE_COMPLETE": 4373169873786,
    "GRPC_SEND_START": 4373169874878,
    "GRPC_SEND_END": 4373170005963,
}
TIMES = ServerTimes(4373169309497, 4373169874878)


def recorded(request_id: str, shift_ns: int = 0) -> list[dict[str, Any]]:
    head = {"id": 2, "model_name": "scission", "model_version": 1, "request_id": request_id}
    return [head, *({"id": 2, "timestamps": [{"name": name, "ns": ns + shift_ns}]} for name, ns in STAMPS.items())]


def write(folder: Path, number: int, content: Any) -> Path:
    path = folder / f"trace.json.{number}"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# -- trace ----------------------------------------------------------------------------------------------


def test_times_are_found_by_request_and_read_files_go(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path, number, recorded(f"r-{number}", 10_000 * number))
    trace = Trace(tmp_path)
    assert trace.times("r-3") == ServerTimes(TIMES.complete_ns + 30_000, TIMES.answered_ns + 30_000)
    assert trace.times("r-0") == TIMES
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_a_half_written_file_waits_until_it_is_whole(tmp_path: Path, share: float) -> None:
    text = json.dumps(recorded("r"))
    path = write(tmp_path, 0, text[: int(share * len(text))])
    trace = Trace(tmp_path)
    with pytest.raises(EdgeError, match=r"no trace of request r within 0\.02 s"):
        trace.times("r", timeout_s=0.02)
    assert path.exists()
    writer = threading.Timer(0.05, lambda: path.write_text(text))
    writer.start()
    assert trace.times("r", timeout_s=20) == TIMES
    writer.join()
    assert not path.exists()


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    write(tmp_path, 0, recorded("warm"))
    trace = Trace(tmp_path)
    trace.discard()
    write(tmp_path, 1, recorded("r"))
    assert trace.times("r") == TIMES
    with pytest.raises(EdgeError, match="no trace of request warm"):
        trace.times("warm", timeout_s=0.01)


def test_control_requests_without_an_id_and_other_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, 0, recorded(""))
    write(tmp_path, 1, [{"id": 1, "model_name": "scission", "model_version": 1}, {"id": 1, "timestamps": []}])
    (tmp_path / "config.pbtxt").write_text("kept")
    write(tmp_path, 2, recorded("r"))
    assert Trace(tmp_path).times("r") == TIMES
    assert [path.name for path in tmp_path.iterdir()] == ["config.pbtxt"]


# -- layout ---------------------------------------------------------------------------------------------


@pytest.mark.triton
def test_the_folder_has_what_triton_needs(tmp_path: Path) -> None:
    folder = tmp_path / "triton"
    command, environment = lay_out(folder, seen_as=Path("/seen"))
    assert "--model-repository=/seen/models" in command
    assert "--backend-directory=/seen/backends" in command
    assert "--allow-metrics=false" in command
    assert os.access(command[0], os.X_OK)
    assert os.access(folder / "backends" / "python" / "triton_python_backend_stub", os.X_OK)
    assert (folder / "backends" / "python" / "libtriton_python.so").exists()
    config = (folder / "models" / "scission" / "config.pbtxt").read_text()
    for name in ('name: "scission"', '"PAYLOAD"', '"OUTPUT"', '"TIMES"', '"REPLY"'):
        assert name in config
    assert addressed(command, "1.2.3.4", 5, "grpc")[-3:] == [
        "--allow-http=false", "--grpc-address=1.2.3.4", "--grpc-port=5",
    ]  # fmt: skip
    assert addressed(command, "1.2.3.4", 5, "http_json")[-3:] == [
        "--allow-grpc=false", "--http-address=1.2.3.4", "--http-port=5",
    ]  # fmt: skip
    compile((folder / "models" / "scission" / "1" / "model.py").read_text(), "model.py", "exec")
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert all(Path(part).is_dir() for part in environment["LD_LIBRARY_PATH"].split(os.pathsep))
    assert not list(folder.rglob("__pycache__"))


def test_a_missing_wheel_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        CapabilityError, match="nvidia-pytriton, which carries tritonserver, is not installed"
    ) as caught:
        lay_out(tmp_path, seen_as=tmp_path)
    assert "\n" not in str(caught.value)
    assert "make venv" in str(caught.value)


def test_a_missing_stub_is_one_line_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "pytriton"
    (wheel / "tritonserver" / "python_backend_stubs" / "3.99").mkdir(parents=True)
    (wheel / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pytriton", raising=False)
    with pytest.raises(CapabilityError, match="no python backend stub for Python 3") as caught:
        lay_out(tmp_path / "triton", seen_as=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "triton").exists()
    shutil.rmtree(wheel)


# -- its log ----------------------------------------------------------------------------------------------

#: What tritonserver 2.51 wrote on a host without a GPU, with TensorFlow's lines between.
USUAL = """\
W1128 11:42:21.748657 4 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
E1128 11:42:21.748832 4 server.cc:241] "CudaDriverHelper has not been initialized."
I1128 11:42:21.750281 4 model_lifecycle.cc:472] "loading: scission:1"
E0000 00:00:1795866149.596090      14 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error
"""


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", ""),
        ("error: creating server: Internal - failed to load all models\n", ""),
        (
            "E1128 11:42:22.018902 4 main.cc:350] \"failed to start GRPC service: Socket 'a:1' already in use \"\n",
            "failed to start GRPC service: Socket 'a:1' already in use",
        ),
        (
            "E1128 11:42:22.1 4 pb_stub.cc:366] first\nE1128 11:42:23.1 4 lifecycle.cc:654] failed to load\n\nAt:\n",
            "failed to load",
        ),
    ],
)
def test_the_last_complaint_of_a_log_is_the_servers_own(tmp_path: Path, more: str, found: str) -> None:
    (tmp_path / "triton.log").write_text(USUAL + more)
    assert triton_server.complaint(tmp_path / "triton.log") == found
