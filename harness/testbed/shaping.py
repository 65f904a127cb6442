"""The board's interface, shaped over ssh by `python -m netem nic hold` for as long as its lease is renewed."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import CapabilityError, DeviceError, HarnessError, LinkError
from harness.spec import Spec
from harness.testbed.lease import Tenant
from harness.testbed.shipping import Host
from harness.testbed.ssh import Shell
from harness.testbed.surroundings import last_line
from netem.link import LinkSpec

#: Probing the kernel, twelve echoes (each may take two seconds to be missed), and everything that is put on.
_START_TIMEOUT_S, _ANSWER_TIMEOUT_S = 60.0, 10.0
#: What netem says to somebody at a command line, in the words of a spec.
_IN_OUR_WORDS = {
    "--replace": "hardware.device.replace_qdisc=true",
    "--allow-no-delay": "link.backend=rate-only",
    "--impair=up": "link.impair=up",
}
#: Root's Python there needs no packages: everything that shapes comes with us.
_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from netem.__main__ import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class ShapedNic:
    """What is in force on the board's interface, as its kernel reports it (`netem.nic_link.AppliedNic`)."""

    record: dict[str, Any]

    @property
    def backend(self) -> str:
        """`netem`, or `rate-only` where the board's kernel cannot delay."""
        return str(self.record["backend"])

    @property
    def path_rtt_ms(self) -> float:
        """What the path takes by itself; 0 where that could not be measured."""
        return float(self.record["path_rtt_ms"] or 0.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where it is not all that was asked for, and why."""
        return tuple(self.record["notes"])

    @property
    def qdiscs(self) -> dict[str, list[dict[str, Any]]]:
        """What stands there, without what was counted."""
        return {
            way: [{name: value for name, value in qdisc.items() if name != "drops"} for qdisc in found]
            for way, found in self.record["qdiscs"].items()
        }

    @property
    def sysctls(self) -> dict[str, str]:
        """Of TCP, by name."""
        return dict(self.record["sysctls"])

    def as_dict(self) -> dict[str, Any]:
        """For `env.json`."""
        return self.record


class Nic:
    """The named interface of a board, shaped while it is held.

    Args:
        spec: the cell.
        link: what is to be felt between the board and `hardware.edge.address`.
        shell, host: the board.
        code: folder of our packages there.
        log: gets what the holder complains about.

    Attributes:
        tenant: the process here that holds it; its lease is somebody's to renew.
        shaped: what is in force.
        command: what would put it in force by hand, on the board.

    Raises:
        LinkError: qdiscs of somebody else, the wrong interface, or a link that the kernel did not take.
        CapabilityError: the board's kernel or user cannot.
    """

    def __init__(self, spec: Spec, link: LinkSpec, shell: Shell, host: Host, code: str, log: Path) -> None:
        self._where = f"{spec.hardware.device.interface} of {shell.host}"
        self._sudo = spec.hardware.device.sudo
        asked = _arguments(spec, link, host)
        self.command = shlex.join(
            ["python", "-m", "netem", "nic", "apply", *(word for word in asked if not word.startswith("--lease="))]
        )
        words = [host.executable, "-I", "-S", "-c", _RUN, code, "nic", "hold", *asked]
        self.tenant = Tenant(shell.argv([*(["sudo", "-n"] if self._sudo else []), *words]), log, self._failure)
        try:
            self.shaped = self._shaped(self.tenant.answer(_START_TIMEOUT_S))
        except BaseException:
            self.tenant.end()
            raise

    def change(self, link: LinkSpec) -> ShapedNic:
        """Make the link another one in place. Raises LinkError or CapabilityError where that cannot be."""
        self.shaped = self._shaped(self.tenant.ask({"link": asdict(link)}, _ANSWER_TIMEOUT_S))
        return self.shaped

    def read(self) -> ShapedNic:
        """What is in force now."""
        return self._shaped(self.tenant.ask({"read": True}, _ANSWER_TIMEOUT_S))

    def restore(self) -> None:
        """Have the interface put back as it was. Raises LinkError where that did not work."""
        code = self.tenant.end()
        if code:
            raise LinkError(
                f"{self._where} was not seen to be restored (code {code}): the board does it by itself once the lease "
                "has lapsed; `python -m netem nic restore` there says whether anything is left"
            )

    def _shaped(self, record: dict[str, Any]) -> ShapedNic:
        if "error" in record:
            raise self._refusal(str(record.get("kind")), str(record["error"]))
        return ShapedNic(record)

    def _refusal(self, kind: str, text: str) -> HarnessError:
        for theirs, ours in _IN_OUR_WORDS.items():
            text = text.replace(theirs, ours)
        if kind == "CapabilityError":
            hint = "" if self._sudo or "root" not in text else "; or hardware.device.sudo=true"
            return CapabilityError(f"{self._where}: {text}{hint}")
        return LinkError(f"{self._where}: {text}")

    def _failure(self, code: int, complaint: bytes) -> HarnessError:
        line = last_line(complaint)
        if self._sudo and "sudo" in line:
            return DeviceError(
                f"hardware.device.sudo=true: {self._where}: {line}; allow that user `sudo -n` for Python"
            )
        return LinkError(f"{self._where} is not held any more (code {code}): {line}")


def _arguments(spec: Spec, link: LinkSpec, host: Host) -> list[str]:
    board, asked = spec.hardware.device, spec.link.backend
    options = {
        "interface": board.interface,
        "peer": spec.hardware.edge.address,
        "exempt-port": host.ssh_port,
        "lease": f"{board.lease_s:g}s",
        "rate": f"{link.rate_up_mbps:.6f}mbit",
        "rate-down": f"{link.rate_down_mbps:.6f}mbit",
        "delay-up": f"{link.delay_up_ms:.6f}ms",
        "delay-down": f"{link.delay_down_ms:.6f}ms",
        "mtu": link.mtu,
        "burst": link.burst_bytes,
        "queue": link.queue_bytes,
        "seed": link.seed,
        "congestion-control": link.tcp.congestion_control or "host",
        "backend": None if asked == "auto" else asked,
    }
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    words += ["--slow-start-after-idle"] if link.tcp.slow_start_after_idle else []
    words += ["--replace"] if board.replace_qdisc else []
    return words + (["--allow-no-delay"] if asked == "rate-only" else [])
