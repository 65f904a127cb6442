"""How a spec asks for requests on a new connection or after a silence."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from harness.errors import SpecError
from harness.spec import PROJECT, Spec


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", list(overrides)))


def test_requests_are_warm_unless_asked_for_otherwise() -> None:
    assert (spec().measure.connection, spec().measure.pause_ms) == ("warm", 1000)
    idle = spec("measure.connection=idle", "measure.pause_ms=250.5").measure
    assert (idle.connection, idle.pause_ms) == ("idle", 250.5)
    assert spec("measure.connection=new", "link.tcp.congestion_control=bbr").measure.connection == "new"


@pytest.mark.parametrize("override", ["measure.connection=cold", "measure.pause_ms=0", "measure.pause_ms=1e6"])
def test_what_is_no_connection_or_no_pause_is_refused(override: str) -> None:
    key, _, given = override.partition("=")
    with pytest.raises(SpecError, match="allowed") as caught:
        spec(override)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)
    assert given.split("e")[0] in str(caught.value)
