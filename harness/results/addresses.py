"""Addresses of servers as a spec has them."""

from __future__ import annotations


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`. Raises ValueError for anything else."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or "/" in host or (":" in host and bare == host):
        raise ValueError("not host:port; allowed: e.g. edge.example.org:8001, 192.0.2.7:8001 or [2001:db8::7]:8001")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"the port {port!r} is none; allowed: 1 to 65535, e.g. {host}:8001")
    return bare, int(port)
