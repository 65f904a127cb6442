"""A board behind ssh, on this host: two namespaces and a plain veth between them, a real sshd in one of the two.

The harness is run in the other one, which is then "this host": what it shapes is the board's `eth0`, and what it says
of clocks, sockets and interfaces is said of two network stacks that share nothing but this kernel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.spec import PROJECT
from harness.testbed.lock import FOLDER_VARIABLE
from netem import Sandbox
from tests import processes
from tests.netem.plain_veth import ADDRESSES, INTERFACE, connect

SSHD = Path("/usr/sbin/sshd")
PORT = 2222
_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""
_CLIENT = """\
Host board
    HostName {address}
    Port {port}
    User root
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking yes
"""


def missing() -> str | None:
    """Why there can be no such board here; None where there can."""
    if os.geteuid() != 0:
        return "sshd is started as root, as a board's own is"
    if not SSHD.exists() or shutil.which("ssh") is None:
        return "openssh-server is not installed (tests/testbed/install_sshd.sh)"
    return None


class SshBoard:
    """The board, from entering to leaving.

    Args:
        folder: for keys, configuration, logs, and what is shipped to the board.

    Attributes:
        sandbox: `device` is the board, `edge` is "this host".
        mark: of every process of it (`tests.processes`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shipped = folder / "shipped"
        self.sandbox = Sandbox(keep=[PROJECT, folder])
        self.mark = f"board-{os.getpid()}-{folder.name}"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            FOLDER_VARIABLE: str(folder),
            processes.MARK: self.mark,
        }

    def __enter__(self) -> SshBoard:
        self.sandbox.__enter__()
        try:
            connect(self.sandbox)
            self._start_sshd()
        except BaseException:
            self.sandbox.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()

    def overrides(self, *others: str) -> list[str]:
        """What a cell on this board is told."""
        return [
            "hardware=remote",
            "hardware.device.host=board",
            f"hardware.device.ssh_config={self.folder / 'ssh_config'}",
            f"hardware.device.python={sys.executable}",
            f"hardware.device.folder={self.shipped}",
            f"hardware.device.interface={INTERFACE}",
            f"hardware.edge.address={ADDRESSES['edge']}",
            f"profile.dir={self.folder / 'profiles'}",
            *others,
        ]

    def popen(self, *command: str, where: str = "edge", **pipes: object) -> subprocess.Popen[bytes]:
        """Start a command on "this host", or on the board."""
        return self.sandbox.popen(where, command, env=self._environment, cwd=PROJECT, **pipes)  # type: ignore[arg-type]

    def run(self, *command: str, where: str = "edge", timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        process = self.popen(*command, where=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(command, process.returncode, output.decode(), errors.decode())

    def qdiscs(self) -> str:
        """Of the board's interfaces, as `tc` has them, without counters."""
        return self.run("tc", "qdisc", "show", where="device").stdout

    def commands(self) -> list[str]:
        """Of every process of the board and of what ran on "this host", but sshd's own."""
        found = [processes.command(pid) for pid in processes.marked(self.mark)]
        return [command for command in found if command and "sshd" not in command]

    def until(self, condition: Callable[[], bool], timeout_s: float) -> float:
        """Wait until something is so; how long that took, in seconds. Fails where it takes longer than allowed."""
        started_s = time.monotonic()
        while not condition():
            assert time.monotonic() - started_s < timeout_s, f"not within {timeout_s} s"
            time.sleep(0.1)
        return time.monotonic() - started_s

    def _start_sshd(self) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it looks for its unprivileged half's root
        for name in ("host_key", "key", "wrong_key"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
            subprocess.run(key, check=True)
        values = {"folder": self.folder, "port": PORT, "address": ADDRESSES["device"]}
        shutil.copy(self.folder / "key.pub", self.folder / "authorized_keys")
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[{ADDRESSES['device']}]:{PORT} {host_key}")
        (self.folder / "ssh_config").write_text(_CLIENT.format(**values))
        (self.folder / "wrong_config").write_text(_CLIENT.format(**values).replace("/key\n", "/wrong_key\n"))
        (self.folder / "sshd_config").write_text(_CONFIG.format(**values))
        log = (self.folder / "sshd.log").open("wb")
        sshd = [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.popen(*sshd, where="device", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        answers = ["ssh", "-F", str(self.folder / "ssh_config"), "-o", "BatchMode=yes", "board", "true"]
        self.until(lambda: self.run(*answers).returncode == 0, 20)
