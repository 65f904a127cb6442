"""The few system calls that Python 3.11 lacks (``os.setns`` and ``os.unshare`` came with 3.12), by ctypes."""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

SOL_PACKET = 263
PACKET_STATISTICS = 6
ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
"""Of packet(7) and socket(7): what Python's `socket` has no names for."""

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (unshare(2)); raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind a descriptor (setns(2)); raises OSError."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, filesystem: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); raises OSError that names the target."""
    result = _libc.mount(source.encode(), target.encode(), filesystem.encode(), flags, data.encode())
    _check(result, f"mount {target}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal when the thread that forked this process ends (prctl(2))."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def set_timer_slack_ns(slack_ns: int) -> None:
    """How late the kernel may wake this thread to save power; the default is 50,000 ns (prctl(2))."""
    _check(_libc.prctl(_PR_SET_TIMERSLACK, slack_ns, 0, 0, 0), "prctl PR_SET_TIMERSLACK")


def loopback_up() -> None:
    """Bring up ``lo`` in the calling thread's network namespace; raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def is_up(interface: str) -> bool:
    """Whether an interface of the calling thread's network namespace is up; raises OSError where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", interface.encode(), 0))
        return bool(struct.unpack_from("H", request, 16)[0] & _IFF_UP)


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
