"""Runs one command inside a sandbox: ``python -m netem.enter OPTIONS COMMAND [ARGUMENT ...]``.

A PID namespace only takes in processes that are born in it, so this process joins the namespaces, forks the
command into them, and stands for it outside: it passes signals on and ends as the command ended, by exit
code or by signal. Killed itself, it takes the command with it; the end of the sandbox ends both.
"""

import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from netem import linux

_SI_KERNEL = 128
"""A signal with this code came from the terminal, which has sent it to the whole group already."""


def main(argv: list[str]) -> int:
    """Join the namespaces, run the command, end as it ends.

    Args:
        argv: OPTIONS as one JSON object: ``holder`` (its PID as seen from here), ``netns`` (descriptor
            number in the holder), ``cpu`` (core to pin to, or null), ``cwd``, ``environment`` (added to
            this process's own); then the command.
    """
    options: dict[str, Any] = json.loads(argv[0])
    if options["cpu"] is not None:
        try:
            os.sched_setaffinity(0, {options["cpu"]})
        except OSError as error:
            print(f"cannot run on core {options['cpu']}: {error.strerror}", file=sys.stderr)
            return 126
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _join(options["holder"], options["netns"])
    except OSError as error:
        print(
            f"cannot enter the sandbox: {error}; it has ended, or this process lacks CAP_SYS_ADMIN",
            file=sys.stderr,
        )
        return 126
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become_command(argv[1:], options, theirs, mask)
    theirs.close()
    # Once the command is bound to this process it asks to go on. Were this process killed before, it
    # would read the end of file instead and give up: at no moment can it be left alone.
    if ours.recv(1):
        ours.send(b"1")
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    return _stand_for(pid)


def _join(holder: int, netns: int) -> None:
    targets = [
        os.open(f"/proc/{holder}/ns/pid", os.O_RDONLY),
        os.open(f"/proc/{holder}/fd/{netns}", os.O_RDONLY),
        os.open(f"/proc/{holder}/ns/mnt", os.O_RDONLY),
    ]
    for descriptor in targets:
        linux.setns(descriptor)
        os.close(descriptor)


def _become_command(
    command: list[str], options: dict[str, Any], parent: socket.socket, mask: set[int | signal.Signals]
) -> NoReturn:
    linux.die_with_parent(signal.SIGKILL)
    parent.send(b"1")
    if not parent.recv(1):
        os._exit(1)
    parent.close()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the two that Python ignores, which exec would keep
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.chdir(options["cwd"])
        os.execvpe(command[0], command, {**os.environ, **options["environment"]})
    except OSError as error:
        print(
            f"cannot run {command[0]} in {options['cwd']} inside the sandbox: {error.strerror}",
            file=sys.stderr,
        )
        os._exit(127)


def _stand_for(pid: int) -> int:
    while True:
        received = signal.sigwaitinfo(signal.valid_signals())
        if received.si_signo != signal.SIGCHLD:
            if received.si_code != _SI_KERNEL:
                os.kill(pid, received.si_signo)
            continue
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == 0:
            continue
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            _end_by_signal(-code)
        return code


def _end_by_signal(number: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's own core dump, if any, is the useful one
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
