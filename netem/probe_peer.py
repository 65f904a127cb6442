"""The two processes of a probe, on plain sockets: ``python -m netem.probe_peer serve|measure OPTIONS``.

They share a host and so CLOCK_MONOTONIC: a message carries the time at which it was sent, and its receiver
knows the one-way time. One TCP connection carries all of it; a request is one character and a length:
``E`` is answered at once with the times of arrival and of departure, ``U`` is followed by that many bytes and
answered with when the last one came and at what rate, ``D`` asks for that many bytes.
"""

import json
import socket
import struct
import sys
import time
from typing import Any

_REQUEST = struct.Struct("!cQ")
_TIMES = struct.Struct("!QQ")
_ARRIVAL = struct.Struct("!Qd")
_STAMP = struct.Struct("!Q")
_CHUNK_BYTES = 65_536
_RATE_FROM = 0.25
"""The rate is taken over the last three quarters of a transfer, when the token bucket is long empty."""


def serve(address: str, timeout_s: float) -> None:
    """Print a free port, answer one connection until it closes."""
    with socket.create_server((address, 0)) as server:
        server.settimeout(timeout_s)
        print(server.getsockname()[1], flush=True)
        sock, _ = server.accept()
        with sock:
            _prepare(sock, timeout_s)
            while request := sock.recv(_REQUEST.size):
                arrived_ns = time.monotonic_ns()
                kind, size = _REQUEST.unpack(request + _exactly(sock, _REQUEST.size - len(request)))
                if kind == b"E":
                    sock.sendall(_TIMES.pack(arrived_ns, time.monotonic_ns()))
                elif kind == b"U":
                    _, ended_ns, goodput = _receive(sock, size)
                    sock.sendall(_ARRIVAL.pack(ended_ns, goodput))
                else:
                    _send(sock, b"", size)


def measure(address: str, port: int, plan: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Carry out a plan over one connection.

    Args:
        address, port: of the process that serves.
        plan: ``exchanges`` (how many small ones), ``up`` and ``down`` (lists of transfers in bytes, in
            order), ``idle_s`` (a pause before each transfer).
        timeout_s: the longest wait for anything.

    Returns:
        ``rtt_ms``, ``delay_up_ms``, ``delay_down_ms`` (one value an exchange); ``up`` and ``down``: one
        [transfer time in ms, goodput in Mbit/s] a transfer; ``congestion_control`` of the connection.
    """
    with socket.create_connection((address, port), timeout_s) as sock:
        _prepare(sock, timeout_s)
        name = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
        _exchange(sock)  # the first one pays for code that has not run yet
        exchanges = [_exchange(sock) for _ in range(plan["exchanges"])]
        result: dict[str, Any] = {"congestion_control": name}
        for index, key in enumerate(("rtt_ms", "delay_up_ms", "delay_down_ms")):
            result[key] = [exchange[index] for exchange in exchanges]
        for key, transfer in (("up", _send_up), ("down", _fetch_down)):
            result[key] = []
            for size in plan[key]:
                time.sleep(plan["idle_s"])
                result[key].append(transfer(sock, size))
        return result


def _prepare(sock: socket.socket, timeout_s: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(timeout_s)


def _exchange(sock: socket.socket) -> tuple[float, float, float]:
    sent_ns = time.monotonic_ns()
    sock.sendall(_REQUEST.pack(b"E", 0))
    answer = _exactly(sock, _TIMES.size)
    received_ns = time.monotonic_ns()
    there_ns, back_ns = _TIMES.unpack(answer)
    return (
        ((received_ns - sent_ns) - (back_ns - there_ns)) / 1e6,
        (there_ns - sent_ns) / 1e6,
        (received_ns - back_ns) / 1e6,
    )


def _send_up(sock: socket.socket, size: int) -> tuple[float, float]:
    started_ns = _send(sock, _REQUEST.pack(b"U", size), size)
    ended_ns, goodput = _ARRIVAL.unpack(_exactly(sock, _ARRIVAL.size))
    return (ended_ns - started_ns) / 1e6, goodput


def _send(sock: socket.socket, header: bytes, size: int) -> int:
    """Send so many bytes behind a header, the first of them the time, which is returned (ns)."""
    body = bytes(size - _STAMP.size)
    body.count(1)  # touch every page: a fault after the stamp would count as the link's time
    started_ns = time.monotonic_ns()
    # Gluing them together would copy the body after the stamp: 0.8 ms a megabyte, measured as 0.55 % of the link.
    sock.sendall(header + _STAMP.pack(started_ns), socket.MSG_MORE)
    sock.sendall(body)
    return started_ns


def _fetch_down(sock: socket.socket, size: int) -> tuple[float, float]:
    sock.sendall(_REQUEST.pack(b"D", size))
    started_ns, ended_ns, goodput = _receive(sock, size)
    return (ended_ns - started_ns) / 1e6, goodput


def _receive(sock: socket.socket, size: int) -> tuple[int, int, float]:
    """When it was sent, when the last byte came (ns), and the goodput in Mbit/s of all but the beginning."""
    (started_ns,) = _STAMP.unpack(_exactly(sock, _STAMP.size))
    buffer = bytearray(_CHUNK_BYTES)
    received, now_ns = _STAMP.size, time.monotonic_ns()
    from_bytes, from_ns = received, now_ns
    while received < size:
        count = sock.recv_into(buffer, min(_CHUNK_BYTES, size - received))
        if count == 0:
            raise ConnectionError("the other end closed the connection in the middle of a transfer")
        now_ns = time.monotonic_ns()
        received += count
        if from_bytes < _RATE_FROM * size:
            from_bytes, from_ns = received, now_ns
    return started_ns, now_ns, (received - from_bytes) * 8e3 / max(1, now_ns - from_ns)


def _exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes, which may come in parts. Raises ConnectionError where the other end closes before."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("the other end closed the connection in the middle of a transfer")
        data += part
    return data


def main(argv: list[str]) -> int:
    """Run one of the two ends; the measuring one prints its result as one JSON object."""
    role, options = argv[0], json.loads(argv[1])
    try:
        if role == "serve":
            serve(**options)
        else:
            print(json.dumps(measure(**options)))
    except OSError as error:
        print(f"probe ({role}): {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
