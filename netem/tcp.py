"""The TCP policy of a link: put in force in both namespaces, read back, and proved on a real connection."""

import socket
import struct
from pathlib import Path

from netem.errors import ShapingError
from netem.link import LinkSpec
from netem.namespaces import Sandbox, Where

_CONNECT_TIMEOUT_S = 5.0
_SMALLEST_BUFFER_BYTES = 4_096
_FIRST_RECEIVE_BUFFER_BYTES = 131_072
_FIRST_SEND_BUFFER_BYTES = 16_384
"""The three are Linux' own defaults; only the largest buffer follows the link."""


def sysctl_values(spec: LinkSpec) -> dict[str, str]:
    """What is set in each namespace, by sysctl name."""
    largest = spec.send_buffer_bytes
    return {
        "net.ipv4.tcp_slow_start_after_idle": str(int(spec.tcp.slow_start_after_idle)),
        "net.ipv4.tcp_no_metrics_save": str(int(not spec.tcp.save_metrics)),
        "net.ipv4.tcp_mtu_probing": "0",
        "net.ipv4.tcp_timestamps": "1",  # their 12 bytes are in the theory's 66
        "net.ipv4.tcp_wmem": f"{_SMALLEST_BUFFER_BYTES} {_FIRST_SEND_BUFFER_BYTES} {largest}",
        # Half of a receive buffer is bookkeeping, so twice as much holds the same window.
        "net.ipv4.tcp_rmem": f"{_SMALLEST_BUFFER_BYTES} {_FIRST_RECEIVE_BUFFER_BYTES} {2 * largest}",
        "net.ipv6.conf.all.disable_ipv6": "1",  # no neighbour discovery: only what the caller sends crosses
    }


def set_sysctls(values: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Set sysctls in the calling thread's namespace; returns what the kernel reported before and reports now.

    Raises:
        ShapingError: one was not taken.
    """
    before, report = {}, {}
    for name, value in values.items():
        path = Path("/proc/sys", *name.split("."))
        if name.startswith("net.ipv6.") and not path.exists():
            continue  # a kernel without IPv6 sends none
        before[name] = " ".join(path.read_text().split())
        try:
            path.write_text(value)
        except OSError as error:
            raise ShapingError(f"sysctl {name}={value} was refused: {error.strerror}; run as root") from error
        report[name] = " ".join(path.read_text().split())
        if report[name] != value:
            raise ShapingError(f"sysctl {name} is {report[name]}, {value} was set: another program changes it")
    return before, report


def congestion_control_in_force(sandbox: Sandbox) -> dict[Where, str]:
    """What a real connection over the link uses at each end (getsockopt TCP_CONGESTION).

    Raises:
        ShapingError: no connection came about.
    """
    address = sandbox.address("edge")
    with sandbox.call("edge", lambda: socket.create_server((address, 0))) as server:
        server.settimeout(_CONNECT_TIMEOUT_S)
        with sandbox.call("device", socket.socket) as client:
            client.settimeout(_CONNECT_TIMEOUT_S)
            _reset_on_close(client)
            try:
                client.connect(server.getsockname())
                accepted, _ = server.accept()
            except OSError as error:
                raise ShapingError(f"no TCP connection over the link: {error}; is a firewall in force?") from error
            with accepted:
                _reset_on_close(accepted)
                return {"device": _congestion_control(client), "edge": _congestion_control(accepted)}


def require_policy(spec: LinkSpec, in_force: dict[Where, str]) -> None:
    """Raise ShapingError unless the congestion control asked for is the one in force at both ends."""
    asked = spec.tcp.congestion_control
    wrong = {where: name for where, name in in_force.items() if asked is not None and name != asked}
    if wrong:
        raise ShapingError(
            f"congestion control is {wrong} although {asked} was asked for: results would not be comparable; "
            "ask for one that this kernel takes as a route metric, or for None to accept the host's"
        )


def _reset_on_close(sock: socket.socket) -> None:
    """No farewell that would still be on the link when the caller's own packets are."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _congestion_control(sock: socket.socket) -> str:
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return raw.rstrip(b"\0").decode()
