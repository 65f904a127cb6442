"""The harness's side of the agent's socket."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from harness.errors import DeviceError, EdgeError, HarnessError, LinkError
from harness.testbed.agent import SERVICE

#: Building the largest zoo model and every block of it takes minutes on a slow core; a hang takes longer.
_TIMEOUT_S = 900.0
#: How often somebody who waits for one answer looks at the link.
_LOOK_S = 10.0
#: Who died is not always seen dead at the moment at which its connection breaks.
_SEEN_DEAD_S = 0.5


class AgentClient:
    """Calls the verbs of one agent. Every failure is a DeviceError, EdgeError or LinkError of one line.

    Args:
        socket: the agent's Unix socket.
        check_alive: raises if a process that an answer depends on has ended; asked once a second while waiting.
        check_link: raises if the link that an answer depends on is not what it was. Asked once something failed, and
            now and then while one answer is waited for in which nothing is timed: then with `echo=False`, which puts
            nothing on the link.
    """

    def __init__(
        self, socket: Path, check_alive: Callable[[], None], check_link: Callable[..., None] | None = None
    ) -> None:
        self._check_alive = check_alive
        self._check_link = check_link
        self._channel = grpc.insecure_channel(
            f"unix:{socket}",
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the agent answers. Raises DeviceError."""
        ready = grpc.channel_ready_future(self._channel)
        self._wait(ready, "its start", timeout_s)

    def call(self, name: str, timeout_s: float = _TIMEOUT_S, **arguments: Any) -> Any:
        """One verb, one answer.

        Args:
            name: of the verb (`harness.testbed.agent`).
            timeout_s: for the answer.
            arguments: of the verb.

        Raises:
            DeviceError: the verb failed, took too long, or the agent went away.
            EdgeError: the edge refused or failed what the verb asked of it.
        """
        method = self._channel.unary_unary(f"/{SERVICE}/{name}")
        look = "time" not in (name, arguments.get("verb"))  # what is timed is not to be disturbed
        try:
            future = method.future(json.dumps(arguments).encode())
            return json.loads(self._wait(future, f"`{name}`", timeout_s, look=look))
        except grpc.RpcError as error:
            found = _error(name, error)
            self._find_the_cause(found)
            raise found from error

    def edge(self, verb: str, **arguments: Any) -> Any:
        """A control verb of the edge model, handed on by the agent. Raises as `call` does."""
        return self.call("edge", verb=verb, arguments=arguments)

    def run(self, requests: Sequence[dict[str, Any]], timeout_s: float) -> Iterator[dict[str, Any]]:
        """Planned requests; yields each observation as soon as the device has it.

        Raises:
            DeviceError: an observation took longer than `timeout_s`, or the agent went away.
            EdgeError: the edge refused or failed a request.
            LinkError: the same, where it is the link that does not carry it.
        """
        method = self._channel.unary_stream(f"/{SERVICE}/run")
        call = method(json.dumps({"requests": list(requests)}).encode())
        answers: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(call, answers), daemon=True).start()
        try:
            for number, request in enumerate(requests, start=1):
                answer = self._next(answers, f"request {number} of {len(requests)} ({request['name']})", timeout_s)
                if answer is None:
                    return
                if isinstance(answer, grpc.RpcError):
                    found = _error("run", answer)
                    self._find_the_cause(found)
                    raise found from answer
                yield json.loads(answer)
        finally:
            call.cancel()

    def close(self) -> None:
        """Close the connection; the agent lives on."""
        self._channel.close()

    def _next(self, answers: queue.SimpleQueue[Any], what: str, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return answers.get(timeout=1.0)
            except queue.Empty:
                self._patience(what, deadline, timeout_s)

    def _wait(self, future: Any, what: str, timeout_s: float, *, look: bool = True) -> Any:
        deadline = time.monotonic() + timeout_s
        look_at = time.monotonic() + _LOOK_S
        while True:
            try:
                return future.result(timeout=1.0)
            except grpc.FutureTimeoutError:
                try:
                    self._patience(what, deadline, timeout_s)
                    if look and self._check_link is not None and time.monotonic() > look_at:
                        self._check_link(echo=False)
                        look_at = time.monotonic() + _LOOK_S
                except BaseException:
                    future.cancel()
                    raise

    def _patience(self, what: str, deadline: float, timeout_s: float) -> None:
        self._check_alive()
        if time.monotonic() > deadline:
            if self._check_link is not None:
                self._check_link()
            raise DeviceError(f"the device did not answer {what} within {timeout_s:g} s")

    def _find_the_cause(self, seen: HarnessError) -> None:
        """Raise what is broken, where that can be seen: what failed only says that it got no answer.

        Args:
            seen: what was seen of it here; it is told beside a link's trouble, which need not be all of it.
        """
        until = time.monotonic() + _SEEN_DEAD_S
        while time.monotonic() < until:
            self._check_alive()
            time.sleep(0.05)
        if self._check_link is not None:
            try:
                self._check_link()
            except LinkError as error:
                raise LinkError(f"{error} (seen as: {seen})") from error


def _pump(call: Any, answers: queue.SimpleQueue[Any]) -> None:
    """Move a stream's answers into a queue, which unlike the stream can be waited for with a limit."""
    try:
        for answer in call:
            answers.put(answer)
        answers.put(None)
    except grpc.RpcError as error:
        answers.put(error)


def _error(verb: str, error: Any) -> HarnessError:
    details = " ".join(str(error.details()).split())  # TensorFlow's own errors run over several lines
    kind, _, message = details.partition(": ")
    if kind == "EdgeError":
        return EdgeError(message)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return DeviceError(f"the device agent went away during `{verb}`: {details}")
    return DeviceError(f"`{verb}` failed on the device: {message if kind == 'DeviceError' else details}")
