"""One sandbox with a link serves all tests of a module that only look at it."""

from collections.abc import Iterator

import pytest

from netem import AppliedLink, CapabilityError, LinkSpec, Sandbox, apply, choose_backend


@pytest.fixture(scope="session")
def host_backend() -> str:
    """The backend of this host; skips where namespaces cannot be made."""
    try:
        return choose_backend()
    except CapabilityError as error:
        pytest.skip(str(error))


@pytest.fixture
def sandbox(host_backend: str) -> Iterator[Sandbox]:
    with Sandbox() as entered:
        yield entered


@pytest.fixture(scope="module")
def link_57(host_backend: str) -> Iterator[tuple[Sandbox, LinkSpec, AppliedLink]]:
    """The paper's link, 57 Mbit/s up and 28 ms, its relay on the device's core."""
    spec = LinkSpec(rate_up_mbps=57, rate_down_mbps=1000, delay_up_ms=14, delay_down_ms=14)
    with Sandbox() as entered:
        yield entered, spec, apply(entered, spec, relay_cpu=0)
