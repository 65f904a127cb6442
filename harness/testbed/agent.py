"""The agent: the small process that runs on a device and answers a few verbs on a Unix socket.

    python -m harness.testbed.agent --socket PATH

Verbs (gRPC, JSON messages, service `scissionlite.Agent`):

    load      build the model (with `recording`: wait in   {model, threads, slowdown, recording, connection, edge, ...}
              its place), connect to the edge
    prepare   compile pieces of work                       {works, execution}
    time      one timed round over pieces of work          {works, execution, seed, gap_ms}
    sizes     bytes of candidates' payloads                {keys}
    run       planned requests, one answer each (stream)   {requests}
    edge      hand a control verb on to the edge model     {verb, arguments}
    deploy    load a deployment's half in place of a       {folder, threads, slowdown, connection, ...}
              model, connect to the edge that serves it
    classify  pictures through a candidate, over the link  {candidate, shape, pictures}
              and offline
    statistics  what the server counted so far             {}
    unload    take back what `send` put into the server    {}
    probe     measure the path to a probe that listens     {address, port, plan, step_s}
    describe  versions and what is loaded                  {}
    stop      end the process                              {}

TensorFlow is imported by `load`, never before, and by no replayed device. It runs nothing but these verbs.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc

from harness.errors import DeviceError, HarnessError

SERVICE = "scissionlite.Agent"
UNARY = (
    "load", "prepare", "time", "sizes", "edge", "deploy", "classify", "statistics", "unload", "probe", "describe",
    "stop",
)  # fmt: skip


class Agent:
    """The verbs. TensorFlow's objects live here, in the one process that imports it."""

    def __init__(self) -> None:
        self._runtime: Any = None
        self._communicator: Any = None
        self._sent = False
        self._edge_layers: int | None = None
        self.stopped = threading.Event()

    def load(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from harness.dnn.zoo import ModelSpec
        from harness.offloader.communicator import connect
        from harness.offloader.connection import Connection
        from harness.offloader.endpoint import MultiplexedEndpoint

        spec = ModelSpec.of(arguments["model"])
        endpoint = MultiplexedEndpoint()
        if arguments["connection"] is not None:
            connection = Connection.of(arguments["connection"])
            self._communicator = connect(connection, endpoint, arguments["request_timeout_s"])
        pool = futures.ThreadPoolExecutor(max_workers=1)
        try:
            edge = pool.submit(  # it loads its model meanwhile
                self._load_edge, arguments["edge"], arguments["ready_timeout_s"], arguments.get("send", False)
            )
            if arguments.get("recording") is not None:
                described = self._load_recording(arguments["recording"], spec, endpoint)
            else:
                described = self._load_model(spec, endpoint, arguments)
            server, placed = edge.result()
            self._require_same_layers(described["last"] + 1)
            return {**described, "server": server, "edge": placed}
        finally:
            pool.shutdown(wait=False)  # a device that cannot load says so at once, whatever the edge still does

    def _load_model(self, spec: Any, endpoint: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        from harness.offloader.device import DeviceRuntime
        from harness.profiling.tier import Tier

        tier = Tier(spec, threads=arguments["threads"], processor=arguments.get("processor", "cpu"))
        self._runtime = DeviceRuntime(tier, self._communicator, endpoint, arguments["slowdown"])
        return {
            "cuts": [asdict(cut) for cut in tier.cuts],
            "last": tier.last,
            "input_shape": list(spec.input_shape),
            "pictures": self._runtime.picture_bytes(),
            "sized": self._runtime.sized,
            "features": tier.graph_features(),
            "placement": tier.placement.describe(),
        }

    def _load_recording(self, record: dict[str, Any], spec: Any, endpoint: Any) -> dict[str, Any]:
        """A device that waits instead of computing; of the model it knows no more than the recording does."""
        from harness.offloader.replay import Plan
        from harness.offloader.replayed_device import ReplayedDevice

        self._runtime = ReplayedDevice(Plan(record), spec, self._communicator, endpoint)
        return {"last": record["last"], "input_shape": list(spec.input_shape)}

    def _load_edge(
        self, arguments: dict[str, Any], ready_timeout_s: float, send: bool
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """What the server says of itself, and its model of where it computes."""
        if self._communicator is None:
            return {}, {}
        if send:
            from harness.offloader import shipping

            self._send(shipping.config(), shipping.files())
        server: dict[str, str] = self._communicator.wait_ready(ready_timeout_s)
        loaded = self._communicator.control("load", arguments)
        self._edge_layers = loaded.get("layers")
        return server, loaded

    def _send(self, config: dict[str, Any], files: dict[str, bytes]) -> None:
        self._sent = True  # the server may go on loading where this call ends by its time-out
        self._communicator.load_model(config, files)

    def unload(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        if self._sent:
            self._communicator.unload_model()
            self._sent = False
        return {}

    def statistics(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {} if self._communicator is None else asdict(self._communicator.statistics())

    def _require_same_layers(self, layers: int) -> None:
        """Another Keras may build another model: its cuts would be other places. A replayed edge has no layers."""
        if self._edge_layers not in (None, layers):
            raise DeviceError(
                f"the model has {layers} layers on the device and {self._edge_layers} at the edge: their Keras differ; "
                "install the same version on both"
            )

    def prepare(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from harness.profiling.work import Work

        self._runtime.prepare([Work.parse(text) for text in arguments["works"]], arguments["execution"])
        return {}

    def time(self, arguments: dict[str, Any]) -> Any:
        from harness.profiling.work import Work

        works = [Work.parse(text) for text in arguments["works"]]
        return self._runtime.time(
            works, execution=arguments["execution"], seed=arguments["seed"], gap_ms=arguments["gap_ms"]
        )

    def sizes(self, arguments: dict[str, Any]) -> Any:
        from harness.results.schema import Key

        return self._runtime.payload_bytes([Key.parse(text) for text in arguments["keys"]])

    def run(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for request in arguments["requests"]:
            yield self._runtime.run(request).as_dict()

    def edge(self, arguments: dict[str, Any]) -> Any:
        return self._communicator.control(arguments["verb"], arguments["arguments"])

    def deploy(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from harness.offloader import shipping
        from harness.offloader.communicator import connect
        from harness.offloader.connection import Connection
        from harness.offloader.deployed import DeployedRuntime
        from harness.offloader.endpoint import PerCutEndpoint
        from harness.preprocessor import manifest
        from harness.preprocessor.halves import load_half
        from harness.preprocessor.repository import python_config

        folder, threads = Path(arguments["folder"]), arguments["threads"]
        known = manifest.read(folder)
        endpoint = PerCutEndpoint(known.triton_model, known.key)
        connection = Connection.of(arguments["connection"])
        self._communicator = connect(connection, endpoint, arguments["request_timeout_s"])
        if arguments.get("send"):
            model = folder / arguments["send"] / known.triton_model
            self._send(python_config(known.triton_model), shipping.repository_files(model))
        device = load_half(folder / manifest.DEVICE, known.tensors["input"].shape, threads=threads)
        edge = load_half(folder / manifest.EDGE, known.tensors["payload"].shape, threads=threads)
        self._runtime = DeployedRuntime(known, device, edge, self._communicator, arguments["slowdown"])
        return {"candidate": known.candidate, "server": self._communicator.wait_ready(arguments["ready_timeout_s"])}

    def classify(self, arguments: dict[str, Any]) -> Any:
        import numpy as np

        from harness.results.schema import Key

        key = Key.parse(arguments["candidate"])
        found = []
        for encoded in arguments["pictures"]:
            picture = np.frombuffer(base64.b64decode(encoded), dtype=np.uint8).reshape(arguments["shape"])
            found.append(asdict(self._runtime.classify(key, picture[np.newaxis])))
        return found

    def probe(self, arguments: dict[str, Any]) -> Any:
        from netem.probe_peer import measure

        return measure(arguments["address"], arguments["port"], arguments["plan"], arguments["step_s"])

    def describe(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        versions = {"python": platform.python_version(), "grpc": grpc.__version__}
        for name in ("tensorflow", "keras", "numpy"):
            if name in sys.modules:
                versions[name] = sys.modules[name].__version__
        return {"versions": versions, "pid": os.getpid(), "affinity": sorted(os.sched_getaffinity(0))}

    def stop(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self.stopped.set()
        return {}


def _answering(verb: Callable[[dict[str, Any]], Any]) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return json.dumps(verb(json.loads(request))).encode()
        except Exception as error:
            context.abort(*_status(error))
            raise  # never reached: abort raises, which its type does not say

    return answer


def _streaming(
    verb: Callable[[dict[str, Any]], Iterator[Any]],
) -> Callable[[bytes, grpc.ServicerContext], Any]:
    def answer(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            for item in verb(json.loads(request)):
                yield json.dumps(item).encode()
        except Exception as error:
            context.abort(*_status(error))

    return answer


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Errors of ours travel as their own name and line; anything else keeps its type."""
    code = grpc.StatusCode.FAILED_PRECONDITION if isinstance(error, HarnessError) else grpc.StatusCode.INTERNAL
    # gRPC carries about 8 kB of it; an error of TensorFlow's can be longer, with the cause in its first lines.
    return code, f"{type(error).__name__}: {error}"[:2000]


def serve(socket_path: str) -> None:
    """Serve until `stop`. Two workers: a control request to the edge may wait while the device works."""
    agent = Agent()
    handlers = {name: grpc.unary_unary_rpc_method_handler(_answering(getattr(agent, name))) for name in UNARY} | {
        "run": grpc.unary_stream_rpc_method_handler(_streaming(agent.run))
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=2),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    old_umask = os.umask(0o077)  # the socket is private to its user
    server.add_insecure_port(f"unix:{socket_path}")
    os.umask(old_umask)
    server.start()
    agent.stopped.wait()
    server.stop(grace=0.2).wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m harness.testbed.agent", description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="path of the Unix socket to serve on")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the owner ends this process
    serve(parser.parse_args().socket)
