"""Which backend can hold a link here, and what it cannot do."""

from functools import cache

from netem import interfaces
from netem.errors import CapabilityError
from netem.interfaces import Backend
from netem.link import LinkSpec
from netem.namespaces import in_network_namespace

_QDISCS: dict[Backend, tuple[str, ...]] = {"netem": ("netem", "htb"), "rate-only": ("htb",), "relay": ()}


@cache
def missing_qdiscs(backend: Backend) -> tuple[str, ...]:
    """The kernel parts that a backend needs and this kernel has not, found by trying in scratch namespaces.

    Raises:
        CapabilityError: this process may not make network namespaces.
    """
    needed = _QDISCS[backend]
    tried = {kind: in_network_namespace(None, lambda kind=kind: interfaces.accepts(kind)) for kind in needed}  # type: ignore[misc]
    return tuple(f"sch_{kind}" for kind, taken in tried.items() if not taken)


def choose_backend() -> Backend:
    """``netem`` where a throw-away veth in a scratch namespace takes its qdiscs, else ``relay``.

    Raises:
        CapabilityError: this process may not make network namespaces.
    """
    return "relay" if missing_qdiscs("netem") else "netem"


def require_qdiscs(backend: Backend) -> None:
    """Raise CapabilityError unless this kernel has what the backend needs."""
    if missing := missing_qdiscs(backend):
        raise CapabilityError(
            f"this kernel has no {' and no '.join(missing)}, which the backend {backend} needs: allowed here is the "
            "backend relay; ask for it, or load the module (modprobe)"
        )


def left_out(spec: LinkSpec, allowed: bool) -> tuple[str, ...]:
    """What ``rate-only`` leaves out of a spec, as notes.

    Raises:
        CapabilityError: something, and that is not ``allowed``.
    """
    asked = beyond_the_rate(spec)
    if not asked:
        return ()
    text = f"the backend rate-only leaves out {' and '.join(asked)}"
    if not allowed:
        raise CapabilityError(f"{text}: allowed are netem and relay; or accept it with --allow-no-delay")
    return (text,)


def beyond_the_rate(spec: LinkSpec) -> list[str]:
    """What a link asks for beside its rates, in words; nothing where that is all."""
    asked = []
    if spec.rtt_ms:
        asked.append(f"{spec.rtt_ms:g} ms of delay")
    if not (spec.impairments_up.none and spec.impairments_down.none):
        asked.append("jitter, loss, reordering, duplicates or corruption")
    return asked
