"""A testbed whose device is a board of its own, at the other end of ssh; Triton runs on this host.

Nothing here needs root: the board's interface is shaped there. Three processes belong to a run: Triton beside this one,
and over ssh the agent and what holds the shaped interface. All end by themselves when nobody renews their lease.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import CapabilityError, DeviceError, EdgeError, HarnessError, LinkError
from harness.offloader import triton_server
from harness.spec import CODE
from harness.spec.hardware import Tier
from harness.testbed import boards, host, lock, shipping, warden
from harness.testbed.client import AgentClient
from harness.testbed.conditions import changes
from harness.testbed.lease import Renewal, Tenant
from harness.testbed.link import base_link
from harness.testbed.local import START_TIMEOUT_S, LocalTestbed
from harness.testbed.shaping import Nic
from harness.testbed.ssh import Shell
from harness.testbed.surroundings import last_line, pinned, require_core, visible
from harness.testbed.translation import netem_translated
from harness.transfer import layers
from netem.link import LinkSpec
from netem.namespaces import module_argv
from netem.probe import LinkReport, plan_of, report_of, timeouts_s

_WARDEN = Path(warden.__file__).resolve()
#: Renewals in a lease: a lost packet or two must not end a run.
_RENEWALS = 4


class RemoteTestbed(LocalTestbed):
    """A board and this host's Triton, from entering to leaving; else as `LocalTestbed`.

    Attributes:
        link, plain: where the board's kernel cannot delay packets (`rate-only`), with the delay that the path itself
            has in place of the one asked for.

    Raises:
        CapabilityError: the edge's address is none of this host, or the board lacks something.
        DeviceError: the board cannot be reached, its Python will not do, or the agent does not come up.
        LinkError: its interface is not to be shaped.
    """

    _nic: Nic
    _measured: dict[str, Any]

    def _start(self) -> None:
        hardware = self.spec.hardware
        _require_own(str(hardware.edge.address), hardware.edge.port)
        self._stack.enter_context(lock.measuring())
        self.rootless = False
        self._logs.mkdir(parents=True, exist_ok=True)
        self._shell = Shell(hardware.device)
        self._host = shipping.ask(self._shell, hardware.device)
        self._require_cores()
        boards.remember(self.spec, self._host.identity, self._host.versions)
        self.board = self._host.as_dict()
        self._code = shipping.ship_code(self._shell, self._host)
        self._renewal = self._stack.enter_context(Renewal(hardware.device.lease_s / _RENEWALS))
        self._tenants: list[tuple[str, Tenant]] = []
        self._start_edge()
        self._start_agent()
        self._shape()
        self._asleep_because = self._stack.enter_context(host.awake())
        self._pin_notes = self._stack.enter_context(pinned(hardware.edge.cpu))

    @property
    def edge_url(self) -> str:
        return f"{self.spec.hardware.edge.address}:{self.spec.hardware.edge.port}"

    def check_alive(self) -> None:
        """Raise the error that the end of Triton, of the agent, of the shaped interface or of an ssh between means."""
        for _, tenant in self._tenants:
            tenant.check_alive()

    def link_commands(self) -> list[str]:
        """The line that shapes the board's interface by hand, on the board."""
        return [self._nic.command]

    def probe(self) -> LinkReport:
        """Measure the link from the board, by the clock of one end at a time: there are no one-way delays."""
        plan = plan_of(self.plain)
        step_s, timeout_s = timeouts_s(plan)
        address = str(self.spec.hardware.edge.address)
        command = module_argv("netem.probe_peer", "serve", json.dumps({"address": address, "timeout_s": step_s}))
        server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/")
        try:
            port = server.stdout.readline() if server.stdout else b""
            if not port:
                raise LinkError(f"the probe cannot listen at hardware.edge.address={address} any more: is it still up?")
            result = self.agent.call("probe", timeout_s, address=address, port=int(port), plan=plan, step_s=step_s)
        except DeviceError as error:
            self.check_alive()
            raise LinkError(
                f"the link could not be measured: {error}; does this host's firewall let the board in, also "
                "at the port that the probe chooses?"
            ) from error
        finally:
            server.kill()
            server.communicate()
        with netem_translated():
            return report_of(self.plain, self.shaped.backend, result, one_clock=False)

    @contextmanager
    def measuring(self, folder: Path) -> Iterator[None]:  # noqa: ARG002 (a trace, which would go there, is refused)
        """Jitter, loss and the like are in force while entered.

        Raises:
            LinkError: the board's kernel did not take a change.
        """
        start = self._as_shaped(base_link(self.spec))
        if start == self.plain:
            yield
            return
        self._measured = self._nic.change(start).as_dict()
        yield
        self._nic.change(self.plain)

    def aftermath(self) -> dict[str, Any]:
        """The part of `env.json` about the board's interface while and after the cell measured."""
        after = self._nic.read()
        sysctls = {"sysctls": {"board": after.sysctls}}
        notes = changes({"sysctls": {"board": self.shaped.sysctls}}, sysctls)
        if after.qdiscs != self.shaped.qdiscs:
            notes.append("not comparable: somebody changed the qdiscs of the board's interface while the cell ran")
        measured = {"testbed_measuring": self._measured} if self._measured else {}
        return {"relay": None, "testbed_after": after.as_dict(), **measured, "notes": [*self.notes(), *notes]}

    def in_force(self) -> dict[str, Any]:
        """What is in force on the board's interface, for `env.json`."""
        return self.shaped.as_dict()

    def notes(self) -> list[str]:
        """What this host or the board did not permit, and how the two differ; the run went on."""
        found = [f"cores may sleep between requests: {self._asleep_because}"] if self._asleep_because else []
        found += [f"{self._shell.host}: {note}" for note in self.shaped.notes]
        for package in ("tensorflow", "keras"):
            theirs, ours = self._host.versions.get(package), host.version(package)
            if theirs and theirs != ours:
                found.append(f"{package} is {theirs} on the board and {ours} here")
        return found + self._pin_notes

    # -- what belongs to a run --------------------------------------------------------------------------

    def _start_edge(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="scissionlite-"))  # 0700; its warden removes it, once there is one
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._socket = folder / "agent.sock"
        triton = folder / "triton"
        command, extra = triton_server.lay_out(triton, seen_as=triton)
        self.trace = triton_server.Trace(triton)
        edge = self.spec.hardware.edge
        command = triton_server.addressed(command, str(edge.address), edge.port, self.spec.communicator.name)
        options = _order(command, _quiet(edge) | extra, cpu=edge.cpu, remove=[str(folder)])
        argv = [sys.executable, "-I", str(_WARDEN), options]
        self._tenant("triton", Tenant(argv, self._logs / "triton.log", _edge_failure))

    def _start_agent(self) -> None:
        board = self.spec.hardware.device
        folder = f"/tmp/scissionlite-{secrets.token_hex(8)}"
        remote = f"{folder}/agent.sock"
        options = _order(
            [self._host.executable, "-m", "harness.testbed.agent", "--socket", remote],
            _quiet(board) | self._own_layer() | {"PYTHONPATH": self._code},
            cpu=board.cpu,
            lease_s=board.lease_s,
            folder=folder,
            ready=remote,
        )
        warden_there = f"{self._code}/{_WARDEN.relative_to(CODE)}"
        argv = self._shell.argv([self._host.executable, warden_there, options], forward=(self._socket, remote))
        tenant = Tenant(argv, self._logs / "agent.log", self._agent_failure)
        self._tenant("agent", tenant)
        if "ready" not in tenant.answer(START_TIMEOUT_S):
            tenant.end()
            tenant.check_alive()
        self.agent = AgentClient(self._socket, self.check_alive)
        self._stack.callback(self.agent.close)
        self.agent.wait_ready(START_TIMEOUT_S)

    def _shape(self) -> None:
        self._measured = {}
        log = self._logs / "nic.log"
        self._nic = Nic(self.spec, self.plain, self._shell, self._host, self._code, log)
        self._stack.push(self._restore)
        self._renewal.add(self._nic.tenant)
        self._tenants.append(("nic", self._nic.tenant))
        self.shaped = self._nic.shaped
        self.link, self.plain = self._as_shaped(self.link), self._as_shaped(self.plain)

    def _restore(self, kind: type[BaseException] | None, *_: object) -> None:
        """Have the interface put back. Where something has failed already, that stays the reason."""
        try:
            self._nic.restore()
        except HarnessError as error:
            if kind is None:
                raise
            print(f"warning: {error}", file=sys.stderr, flush=True)

    def _as_shaped(self, link: LinkSpec) -> LinkSpec:
        """A link as the board's kernel can make it: without a delay, what the path itself has is left."""
        if self.shaped.backend != "rate-only":
            return link
        half_ms = self.shaped.path_rtt_ms / 2
        return replace(link, delay_up_ms=half_ms, delay_down_ms=half_ms)

    def _tenant(self, name: str, tenant: Tenant) -> None:
        self._stack.callback(tenant.end)
        self._tenants.append((name, tenant))
        self._renewal.add(tenant)

    def _as_seen_by_the_device(self, model: dict[str, Any]) -> dict[str, Any]:
        """Files of the model are shipped, by content, once."""
        return shipping.ship_model(self._shell, self._host, model)

    def _own_layer(self) -> dict[str, str]:
        """Where the agent finds a transfer layer of the user's own."""
        source = self.spec.transfer_layer.located
        return {} if source is None else {layers.VARIABLE: shipping.ship_source(self._shell, self._host, source)}

    def _require_cores(self) -> None:
        require_core("device", self.spec.hardware.device.cpu, self._host.cpus, self._shell.host)
        require_core("edge", self.spec.hardware.edge.cpu, os.sched_getaffinity(0))

    def _agent_failure(self, code: int, complaint: bytes) -> HarnessError:
        error = self._shell.failure("the agent", code, complaint)
        if b"open failed" in complaint:
            return DeviceError(
                f"{self._shell.host} does not forward a Unix socket ({last_line(complaint)}): its sshd needs "
                "AllowStreamLocalForwarding yes"
            )
        return error


def _quiet(tier: Tier) -> dict[str, str]:
    """What is set for a tier, beside what its host sets: as for those of a local testbed."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1", **visible(tier)}


def _order(
    command: list[str],
    extra: dict[str, str],
    *,
    cpu: int,
    lease_s: float | None = None,
    folder: str | None = None,
    ready: str | None = None,
    remove: list[str] | None = None,
) -> str:
    """What a warden is told (`harness.testbed.warden`)."""
    order = {"command": command, "environment": extra, "cpu": cpu, "lease_s": lease_s, "folder": folder}
    return json.dumps({**order, "ready": ready, "remove": remove or []})


def _require_own(address: str, port: int) -> None:
    """Raise CapabilityError unless Triton can listen there."""
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        raise CapabilityError(
            f"hardware.edge.address={address} hardware.edge.port={port}: this host cannot listen there "
            f"({error.strerror}); allowed: an address of this host that the board reaches, and a port that is free"
        ) from error


def _edge_failure(code: int, complaint: bytes) -> HarnessError:
    return EdgeError(f"triton ended with code {code}: {last_line(complaint)}")
