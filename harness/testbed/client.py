"""The harness's side of the agent's socket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc

from harness.errors import DeviceError, EdgeError, HarnessError
from harness.testbed.agent import SERVICE

#: Building the largest zoo model and every block of it takes minutes on a slow core; a hang takes longer.
_TIMEOUT_S = 900.0


class AgentClient:
    """Calls the verbs of one agent. Every failure is a DeviceError or EdgeError of one line."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(
            f"unix:{socket}",
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the agent answers. Raises DeviceError."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                grpc.channel_ready_future(self._channel).result(timeout=1.0)
                return
            except grpc.FutureTimeoutError:
                if time.monotonic() > deadline:
                    raise DeviceError(f"the device agent does not answer on its socket after {timeout_s:g} s") from None

    def call(self, name: str, timeout_s: float = _TIMEOUT_S, **arguments: Any) -> Any:
        """One verb, one answer."""
        method = self._channel.unary_unary(f"/{SERVICE}/{name}")
        try:
            return json.loads(method(json.dumps(arguments).encode(), timeout=timeout_s))
        except grpc.RpcError as error:
            raise _error(name, error) from error

    def edge(self, verb: str, **arguments: Any) -> Any:
        """A control verb of the edge model, handed on by the agent."""
        return self.call("edge", verb=verb, arguments=arguments)

    def run(self, requests: Iterable[dict[str, Any]], timeout_s: float) -> Iterator[dict[str, Any]]:
        """Planned requests; yields each observation as soon as the device has it."""
        method = self._channel.unary_stream(f"/{SERVICE}/run")
        try:
            for answer in method(json.dumps({"requests": list(requests)}).encode(), timeout=timeout_s):
                yield json.loads(answer)
        except grpc.RpcError as error:
            raise _error("run", error) from error

    def close(self) -> None:
        self._channel.close()


def _error(verb: str, error: Any) -> HarnessError:
    details = str(error.details())
    kind, _, message = details.partition(": ")
    if kind == "EdgeError":
        return EdgeError(message)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return DeviceError(f"the device agent went away during `{verb}`: {details}")
    return DeviceError(f"`{verb}` failed on the device: {message if kind == 'DeviceError' else details}")
