"""Small ICMP echoes: what a path takes, by the kernel of the other end."""

import socket
import statistics
import struct
import time

from netem.errors import ShapingError

ECHOES = 11
TIMEOUT_S = 2.0

_ICMP_ECHO_REQUEST = 8
_ICMP_ECHO_REPLY = 0
_ICMP_IDENTIFIER = 0
"""Of these echoes: whoever else pings the same host meanwhile takes another one."""


def icmp_socket() -> socket.socket:
    """A raw socket for echoes, not connected yet. Raises OSError without CAP_NET_RAW."""
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def echo_ms(sock: socket.socket, sequence: int, timeout_s: float = TIMEOUT_S) -> float:
    """RTT of one small ICMP echo over a connected raw socket, in milliseconds.

    Raises:
        ShapingError: it did not come back in time; the answers to other people's echoes do not count.
    """
    header = struct.pack("!BBHHH", _ICMP_ECHO_REQUEST, 0, 0, _ICMP_IDENTIFIER, sequence)
    total = sum(struct.unpack("!4H", header))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    start = time.perf_counter()
    sock.send(struct.pack("!BBHHH", _ICMP_ECHO_REQUEST, 0, checksum, _ICMP_IDENTIFIER, sequence))
    while (left_s := timeout_s - (time.perf_counter() - start)) > 0:
        sock.settimeout(left_s)
        try:
            packet = sock.recv(2048)
        except TimeoutError:
            break
        elapsed_ms = (time.perf_counter() - start) * 1e3
        icmp = packet[4 * (packet[0] & 0x0F) :]
        if icmp[0] == _ICMP_ECHO_REPLY and struct.unpack_from("!HH", icmp, 4) == (_ICMP_IDENTIFIER, sequence):
            return elapsed_ms
    raise ShapingError(f"no echo over the new link within {timeout_s:g} s: packets are lost; is a firewall in force?")


def median_ms(sock: socket.socket, address: str, *, losing: bool = False) -> float:
    """Median RTT of several echoes, in milliseconds. The first one pays for code that has not run yet.

    Args:
        losing: whether the path may lose some; else each has to come back.

    Raises:
        ShapingError: an echo did not come back; where the path may lose some: none did, or the first three did not.
        OSError: there is no way to the address.
    """
    sock.connect((address, 0))
    times_ms: list[float] = []
    for sequence in range(ECHOES + 1):
        try:
            times_ms.append(echo_ms(sock, sequence))
        except ShapingError:
            if not losing or (not times_ms and sequence >= 2):
                raise
    return statistics.median(times_ms[1:] or times_ms)
