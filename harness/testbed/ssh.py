"""The system's ssh to a board: its own config, keys and jump hosts; never a question (no TensorFlow, no sockets).

Whatever runs there is started through `exec`, so that the remote shell is gone and the program's own input is ours.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from harness.errors import CapabilityError, DeviceError
from harness.spec.board import Board
from harness.spec.fields import from_project
from harness.testbed.surroundings import last_line

#: For the TCP connection and the keys; a jump host adds its own.
_CONNECT_TIMEOUT_S = 10
#: Of ssh itself; 127 and 126 are the remote shell's for a program that is missing or cannot be run.
_SSH_FAILED, _NO_PROGRAM = 255, (126, 127)


class Shell:
    """Runs programs on one board.

    Args:
        board: how it is reached.

    Raises:
        CapabilityError: this host has no ssh.
    """

    def __init__(self, board: Board) -> None:
        if shutil.which("ssh") is None:
            raise CapabilityError("this host has no ssh, which hardware=remote needs: install openssh-client")
        self.host = str(board.host)
        self._board = board

    def argv(self, command: Sequence[str], *, forward: tuple[Path, str] | None = None) -> list[str]:
        """The local command that runs a remote one.

        Args:
            command: its words, quoted here for the remote shell.
            forward: a local Unix socket, and the remote one that it leads to.
        """
        alive_s = max(1, round(self._board.lease_s / 4))
        options = [
            *self._board.ssh_options,  # ssh takes the first that it is told
            "BatchMode=yes",
            f"ConnectTimeout={_CONNECT_TIMEOUT_S}",
            f"ServerAliveInterval={alive_s}",
            "ServerAliveCountMax=3",
            "ControlMaster=no",  # a shared connection would outlive a run
            "ControlPath=none",
            "ForwardAgent=no",
            "ForwardX11=no",
        ]
        words = ["ssh", "-T"]
        if self._board.ssh_config is not None:
            words += ["-F", str(from_project(self._board.ssh_config))]
        if forward is None:
            options.append("ClearAllForwardings=yes")
        else:
            options += ["ExitOnForwardFailure=yes", "StreamLocalBindMask=0177"]
            words += ["-L", f"{forward[0]}:{forward[1]}"]
        words += [word for option in options for word in ("-o", option)]
        return [*words, "--", self.host, f"exec {shlex.join(command)}"]

    def run(self, command: Sequence[str], *, source: bytes | IO[bytes] = b"", timeout_s: float = 60.0) -> bytes:
        """Run a program to its end; what it printed.

        Args:
            command: its words.
            source: its standard input.
            timeout_s: for all of it.

        Raises:
            DeviceError: the board cannot be reached, the program is missing there, or it failed; one line.
        """
        given: dict[str, object] = {"input": source} if isinstance(source, bytes) else {"stdin": source}
        try:
            done = subprocess.run(self.argv(command), capture_output=True, timeout=timeout_s, check=False, **given)  # type: ignore[call-overload]
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{self.host} did not answer within {timeout_s:g} s") from error
        if done.returncode:
            raise self.failure(command[0], done.returncode, done.stderr)
        output: bytes = done.stdout
        return output

    def failure(self, program: str, code: int, complaint: bytes) -> DeviceError:
        """What an ended ssh means, in one line.

        Args:
            program: what was to run there.
            code: of ssh.
            complaint: its standard error.
        """
        line = last_line(complaint)
        if code == _SSH_FAILED:
            return DeviceError(
                f"ssh to hardware.device.host={self.host} failed: {line}; what must work without a question is: "
                f"{shlex.join(self.argv(['true']))}"
            )
        if code in _NO_PROGRAM:
            return DeviceError(
                f"{self.host} cannot run {program} ({line}): set hardware.device.python to a Python 3.11 or later there"
            )
        return DeviceError(f"{program} on {self.host} ended with code {code}: {line}")
