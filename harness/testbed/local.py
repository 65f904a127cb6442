"""A testbed on this host: device agent and Triton in two network namespaces, a shaped link between.

Everything lives in one `netem.Sandbox`, which dies with this process: no clean-up code is needed for a crash.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.errors import DeviceError, EdgeError, LinkError
from harness.offloader import triton_server
from harness.offloader.connection import Connection
from harness.offloader.runner import ServerTrace
from harness.spec import CODE, PROJECT, Spec
from harness.spec.hardware import Tier
from harness.testbed import external, host, lock
from harness.testbed.client import AgentClient
from harness.testbed.conditions import Conditions
from harness.testbed.link import link_spec
from harness.testbed.surroundings import environment, last_line, pinned, require_core
from harness.testbed.translation import netem_translated, translated
from netem.health import require_carrying
from netem.namespaces import Sandbox
from netem.plan import planned_commands
from netem.probe import LinkReport, check, probe
from netem.rootless import become_root_inside
from netem.shaper import AppliedLink, apply

TRITON = Path("/tmp/triton")
_SOCKET = Path("/tmp/agent.sock")
#: Of this harness's own Triton, by what the communicator speaks.
_GRPC_PORT, _HTTP_PORT = 8001, 8000
#: TensorFlow's import on a slow, cold disk; on the build machine it takes 10 s.
START_TIMEOUT_S = 180.0


class LocalTestbed:
    """Both tiers of one cell on this host, from entering to leaving.

    Args:
        spec: the cell.
        logs: folder for what agent and server print.

    An ordinary user becomes root of a user namespace on entering, for good; that needs a process with one thread
    (run.py sees to it). Only one testbed is up on a host at a time.

    Attributes:
        link: to predict for, while the cell measures; of a trace, its mean.
        plain: over which profile and probe run: `link` without jitter, loss and the like.

    Raises:
        CapabilityError: this host cannot make namespaces, or lacks Triton, or another run is measuring on it.
        LinkError: the link is not what was asked for.
        DeviceError, EdgeError: a tier does not come up.
    """

    #: What is known of the host that the device is, where that is another one.
    board: dict[str, Any] | None = None

    def __init__(self, spec: Spec, logs: Path) -> None:
        self.spec = spec
        self.link = link_spec(spec)
        self._conditions = Conditions(spec)
        self.plain = self._conditions.plain
        self._logs = logs
        self._stack = ExitStack()
        self._external = external.connection(spec) if spec.hardware.edge.url is not None else None
        self.sandbox = Sandbox(keep=[PROJECT, CODE, *spec.own_files])
        self.server: dict[str, str] = {}
        self.placements: dict[str, dict[str, Any]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> LocalTestbed:
        try:
            self._start()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)  # what restores then knows that something has failed already

    def _start(self) -> None:
        hardware = self.spec.hardware
        for tier, core in (("device", hardware.device.cpu), ("edge", hardware.edge.cpu)):
            require_core(tier, core, os.sched_getaffinity(0))
        if self._external is not None:
            external.require_reachable(self._external)
        self._stack.enter_context(lock.measuring())
        self.rootless = translated(become_root_inside)
        self._logs.mkdir(parents=True, exist_ok=True)
        translated(lambda: self._stack.enter_context(self.sandbox))
        backend = None if self.spec.link.backend == "auto" else self.spec.link.backend
        self.applied: AppliedLink = translated(
            # The device waits while its payload travels, so its core is the idle one.
            lambda: apply(self.sandbox, self.plain, relay_cpu=hardware.device.cpu, backend=backend)
        )
        self.trace: ServerTrace = triton_server.NoTrace()
        if self._external is not None:
            self._start_forwarder(self._external)
        elif hardware.has_edge:
            self.trace = triton_server.Trace(self.sandbox.path(TRITON))
            self._start_edge()
        self._start_agent()
        self._asleep_because = self._stack.enter_context(host.awake())
        # The edge's core is idle while the device computes, which is when this process reads, writes and draws.
        self._pin_notes = self._stack.enter_context(pinned(hardware.edge.cpu))

    def load(self, recordings: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:
        """Build the model on both tiers and connect them; what the agent says of the model.

        Args:
            recordings: by tier that is to wait instead of computing, what it replays (`Recording.plan`).
        """
        spec, replayed = self.spec, recordings or {}
        model = {
            **spec.model.model_dump(include={"name", "architecture", "input_shape", "preprocessing", "weights"}),
            **spec.model.located,
            "seed": spec.seed,
        }
        self._unload_at_the_end()  # before anything is sent: a load that fails half-way leaves nothing either
        with self._log_told():
            loaded: dict[str, Any] = self.agent.call(
                "load",
                model=self._as_seen_by_the_device(model),
                threads=spec.hardware.device.threads,
                processor=spec.hardware.device.processor,
                slowdown=spec.hardware.device.slowdown,
                recording=replayed.get("device"),
                connection=self.connection.record() if spec.hardware.has_edge else None,
                send=spec.hardware.edge.models == "load",
                edge={
                    "model": model,
                    "threads": spec.hardware.edge.threads,
                    "processor": spec.hardware.edge.processor,
                    **({"recording": replayed["edge"]} if "edge" in replayed else {}),
                },
                request_timeout_s=min(spec.communicator.timeout_s, spec.measure.timeout_s),
                ready_timeout_s=START_TIMEOUT_S,
            )
        self.server = loaded["server"]
        self.placements = {"device": loaded.get("placement", {}), "edge": loaded.get("edge", {})}
        return loaded

    @contextmanager
    def _log_told(self) -> Iterator[None]:
        """Of a server that lives and yet does not serve, its log alone says why."""
        try:
            yield
        except EdgeError as error:
            server = self._processes.get("triton")
            if server is None or server.poll() is not None:
                raise
            raise EdgeError(f"{error}; its log ends with: {self._last_words('triton')}") from error

    def _unload_at_the_end(self) -> None:
        """Take back what the repository API was sent; a server that is gone by then has nothing to take back."""
        if self.spec.hardware.edge.models == "load":
            self._stack.callback(lambda: external.unload(self.agent))

    def _as_seen_by_the_device(self, model: dict[str, Any]) -> dict[str, Any]:
        """The model as the device is to load it."""
        return model

    def link_commands(self) -> list[str]:
        """The `ip` and `tc` lines that would make the link by hand."""
        return planned_commands(self.link, self.applied.backend)

    def probe(self) -> LinkReport:
        """Measure the link. Raises LinkError where it cannot be, naming who has ended where that is why."""
        hardware = self.spec.hardware
        try:
            return translated(
                lambda: probe(
                    self.sandbox, self.plain, self.applied, device_cpu=hardware.device.cpu, edge_cpu=hardware.edge.cpu
                )
            )
        except LinkError:
            self.check_alive()
            raise

    def require(self, report: LinkReport) -> None:
        """Raise LinkError where the probed link is not the one asked for."""
        translated(lambda: check(report, self.spec.link.tolerance))

    @contextmanager
    def measuring(self, folder: Path) -> Iterator[None]:
        """What the link does only while a cell measures: a trace, jitter, loss. A trace leaves `trace.csv` in `folder`.

        Raises:
            LinkError: the link did not take a change.
        """
        with netem_translated(), self._conditions.in_force(self.sandbox, self.applied, folder):
            yield

    def aftermath(self) -> dict[str, Any]:
        """The part of `env.json` about the link while and after the cell measured (see `Conditions.aftermath`)."""
        found = translated(lambda: self._conditions.aftermath(self.sandbox, self.applied))
        return found | {"notes": [*self.notes(), *found["notes"]]}

    def in_force(self) -> dict[str, Any]:
        """What is in force on the link, for `env.json`."""
        return self.applied.as_dict()

    @property
    def cores_awake(self) -> bool:
        """Whether idle cores stay out of sleep states."""
        return self._asleep_because is None

    def notes(self) -> list[str]:
        """What this host did not permit; the run went on without."""
        found = []
        if self._asleep_because:
            found.append(f"cores may sleep between requests: {self._asleep_because}")
        if self.applied.relay_scheduling == "other":
            found.append("the relay has no priority over what shares its core: this host permits none")
        return found + self._pin_notes

    def check_alive(self) -> None:
        """Raise what a request would only time out on.

        Raises:
            LinkError: the relay, or the sandbox with all in it, has ended.
            DeviceError, EdgeError: the agent or the server has ended; with the last line it wrote.
        """
        translated(lambda: self.sandbox.pid)
        if self.applied.relay is not None:
            translated(self.applied.relay.check_alive)
        for name, error in (("triton", EdgeError), ("forwarder", EdgeError), ("agent", DeviceError)):
            process = self._processes.get(name)
            if process is not None and process.poll() is not None:
                raise error(f"{name} ended with code {process.returncode}: {self._last_words(name)}")

    def check_link(self, *, echo: bool = True) -> None:
        """Raise LinkError where the link is down, another one, or, asked with an echo, carries nothing."""
        translated(lambda: require_carrying(self.sandbox, self.applied, echo=echo))

    def _last_words(self, name: str) -> str:
        """Why a process ended, or what it was doing, as far as its log says."""
        log = self._logs / f"{name}.log"
        return (triton_server.complaint(log) if name == "triton" else "") or last_line(log.read_bytes())

    @property
    def edge_url(self) -> str:
        """Where the device finds the edge: Triton, or what carries its bytes to an external one."""
        return f"{self.sandbox.address('edge')}:{self._edge_port}"

    @property
    def connection(self) -> Connection:
        """How the device reaches the edge."""
        if self._external is not None:
            return replace(self._external, address=self.edge_url)
        return Connection(self.edge_url, self.spec.communicator.name)

    @property
    def _edge_port(self) -> int:
        return _GRPC_PORT if self.spec.communicator.name == "grpc" else _HTTP_PORT

    def _start_forwarder(self, to: Connection) -> None:
        """The link ends in the edge's namespace; from there the bytes go on over this host's own network."""
        address = (self.sandbox.address("edge"), self._edge_port)
        listener = translated(lambda: self.sandbox.call("edge", lambda: socket.create_server(address)))
        log = self._stack.enter_context((self._logs / "forwarder.log").open("wb"))
        forwarding = external.forwarding(listener, to, self.spec.hardware.edge.cpu, log)
        self._processes["forwarder"] = self._stack.enter_context(forwarding)

    def _start_edge(self) -> None:
        command, extra = self._lay_out_edge()
        address = self.sandbox.address("edge")
        command = triton_server.addressed(command, address, self._edge_port, self.spec.communicator.name)
        self._popen("edge", "triton", command, self.spec.hardware.edge.cpu, extra)

    def _lay_out_edge(self) -> tuple[list[str], dict[str, str]]:
        """Triton's folder; its command without addresses, and its environment."""
        return triton_server.lay_out(self.sandbox.path(TRITON), seen_as=TRITON)

    def _start_agent(self) -> None:
        command = [sys.executable, "-m", "harness.testbed.agent", "--socket", str(_SOCKET)]
        self._popen("device", "agent", command, self.spec.hardware.device.cpu, {"PYTHONPATH": str(CODE)})
        self.agent = AgentClient(self.sandbox.path(_SOCKET), self.check_alive, self.check_link)
        self._stack.callback(self.agent.close)
        self.agent.wait_ready(START_TIMEOUT_S)

    def _popen(self, where: str, name: str, command: list[str], cpu: int, extra: dict[str, str]) -> None:
        tier: Tier = self.spec.hardware.edge if where == "edge" else self.spec.hardware.device
        log: IO[bytes] = self._stack.enter_context((self._logs / f"{name}.log").open("wb"))
        self._processes[name] = self.sandbox.popen(
            "edge" if where == "edge" else "device",
            command,
            cpu=cpu,
            env=environment(extra, tier),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
