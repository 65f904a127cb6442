"""The part of a spec that says how a real board is reached and what may be done to it (`hardware=remote`)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import Field as Constrained
from pydantic import field_validator

from harness.spec.fields import Part, field

_DESTINATION = re.compile(r"[A-Za-z0-9_][^\s'\"]*")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")


class Board(Part):
    """A device that is another host; all of it null or at its default where the device is this one."""

    host: str | None = field("ssh destination of the board: a Host of your ssh config, or user@address", default=None)
    ssh_config: str | None = field("ssh's config file, its -F; null: yours", min_length=1, default=None)
    ssh_options: Annotated[tuple[str, ...], Constrained(strict=False)] = field(
        "further options of ssh, each its -o, e.g. [Port=2222]", default=()
    )
    python: str = field("Python on the board, 3.11 or later, with TensorFlow", min_length=1, default="python3")
    folder: str = field(
        "folder on the board for shipped code and files; a relative one is meant from the user's home",
        min_length=1,
        default=".cache/scissionlite",
    )
    interface: str | None = field("network interface of the board that is shaped, e.g. eth0", default=None)
    sudo: bool = field("true: shape through `sudo -n`, for a user who is not root", default=False)
    replace_qdisc: bool = field(
        "true: take qdiscs of somebody else off that interface while measuring, and put them back", default=False
    )
    lease_s: float = field(
        "after so long without the harness the board restores its interface and ends the agent",
        "s",
        ge=2,
        le=600,
        default=10.0,
    )

    @field_validator("host")
    @classmethod
    def _destination(cls, host: str | None) -> str | None:
        if host is not None and not _DESTINATION.fullmatch(host):
            raise ValueError("no destination of ssh; allowed: a Host of your ssh config, or user@address")
        return host

    @field_validator("interface")
    @classmethod
    def _named(cls, interface: str | None) -> str | None:
        if interface is not None and not _INTERFACE.fullmatch(interface):
            raise ValueError("no name of an interface; allowed: up to 15 letters, digits, _ . @ -, e.g. eth0")
        return interface

    @field_validator("ssh_options")
    @classmethod
    def _options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if not re.match(r"[A-Za-z]+[= ]\S", option):
                raise ValueError(f"{option!r} is no option of ssh; allowed: Name=value, e.g. Port=2222")
        return options


def ipv4_address(value: str | None) -> str | None:
    """An IPv4 address, or null. Raises ValueError for anything else."""
    if value is not None:
        try:
            ipaddress.IPv4Address(value)
        except ValueError:
            raise ValueError("no IPv4 address; allowed: one of this host that the board reaches") from None
    return value
