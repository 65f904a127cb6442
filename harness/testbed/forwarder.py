"""Carries the bytes of TCP connections from the emulated link to a server outside of it, and back.

    python -m harness.testbed.forwarder --listener FD --host HOST --port PORT [--cpu CORE]

The listening socket is inherited: it was made in the edge's network namespace and stays there, while this process, and
with it every connection that it opens, is in the host's. So a device's requests meet the shaped link first and then
whatever lies between this host and the server. Bytes are not looked at; TLS passes through. The process ends when its
standard input closes, which it does with whoever started it.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from contextlib import suppress

_CONNECT_S = 10.0
_CHUNK_BYTES = 1 << 18


def forward(listener: socket.socket, host: str, port: int) -> None:
    """Accept connections for ever, each carried by two threads. A server that refuses closes the connection."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError as error:  # without it nobody is served any more, and whoever looks has to see that
            print(f"no connection can be accepted: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        threading.Thread(target=_carry, args=(near, host, port), daemon=True).start()


def _carry(near: socket.socket, host: str, port: int) -> None:
    try:
        far = socket.create_connection((host, port), timeout=_CONNECT_S)
    except OSError as error:
        print(f"{host}:{port}: {error}", file=sys.stderr, flush=True)
        near.close()
        return
    far.settimeout(None)
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_pour, args=(far, near), daemon=True)
    back.start()
    _pour(near, far)
    back.join()
    near.close()
    far.close()


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Until the source ends; then the target is told so, and may still answer."""
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with suppress(OSError):
        while count := source.recv_into(buffer):
            target.sendall(view[:count])
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def main() -> None:
    """Forward until standard input ends."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.testbed.forwarder", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the listening socket")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the owner ends this process
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    listener = socket.socket(fileno=arguments.listener)
    threading.Thread(target=forward, args=(listener, arguments.host, arguments.port), daemon=True).start()
    while sys.stdin.buffer.read(1):
        pass


if __name__ == "__main__":
    main()
