"""How an edge is reached: its address, the protocol spoken there, TLS. Plain data that crosses the agent's socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.results.addresses import split_address


@dataclass(frozen=True)
class Tls:
    """What a TLS connection is checked and opened with; PEM texts, not files, since the device may be another host.

    ca: certificates to trust; None: the system's.
    certificate, key: of the client, where the server asks for one.
    server_name: that the server's certificate must name; None: the host of the connection's name.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None


@dataclass(frozen=True)
class Connection:
    """How a device reaches an edge.

    address: host:port that it connects to.
    protocol: `grpc`, `http_binary` or `http_json`.
    name: host:port by which the edge is known, where `address` is only the way to it; errors and TLS use it.
    tls: None: in the clear.
    model_version: to ask for; empty: the server's choice.
    external: whether somebody else started the server: then its answers are final, not to be waited for.
    """

    address: str
    protocol: str = "grpc"
    name: str = ""
    tls: Tls | None = None
    model_version: str = ""
    external: bool = False

    @property
    def shown(self) -> str:
        """What errors call it."""
        return self.name or self.address

    @property
    def server_name(self) -> str:
        """That the server's certificate must name."""
        return (self.tls.server_name if self.tls else None) or split_address(self.shown)[0]

    def record(self) -> dict[str, Any]:
        """The same for JSON; with the private key, if there is one."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Connection:
        """The inverse of `record`."""
        tls = record.get("tls")
        return cls(**{**record, "tls": None if tls is None else Tls(**tls)})
