"""A link that something befell is told from one that is well, and what befell it is said."""

from __future__ import annotations

import pytest

from netem import LinkSpec, NetemError, Sandbox, ShapingError, apply, health
from netem.health import kinds, require_carrying
from tests.netem import sabotage

pytestmark = pytest.mark.link

SPEC = LinkSpec(57, 1000, 5, 5)


def test_what_befalls_a_link_is_said(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.2)
    applied = apply(sandbox, SPEC, relay_cpu=0)
    require_carrying(sandbox, applied)
    sabotage.lose_everything(sandbox.netns("device"))
    require_carrying(sandbox, applied, echo=False)  # nothing is to be seen of it
    with pytest.raises(ShapingError, match=r"none of 3 echoes, .* the others within 0\.21 s each"):
        require_carrying(sandbox, applied)
    sabotage.take_down(sandbox.netns("device"))
    with pytest.raises(ShapingError, match=r"uplink0 of the device namespace") as caught:
        require_carrying(sandbox, applied, echo=False)
    assert "\n" not in str(caught.value)


def test_qdiscs_of_somebody_else_are_seen(sandbox: Sandbox, host_backend: str) -> None:
    if host_backend != "relay":
        pytest.skip("netem's own qdiscs stay what they are, whatever rate they are given")
    applied = apply(sandbox, SPEC, relay_cpu=0)
    sabotage.slow_down(sandbox.netns("device"), "relay")
    with pytest.raises(ShapingError, match=r"qdiscs of uplink0 \(device\) were .* and are htb, bfifo"):
        require_carrying(sandbox, applied, echo=False)


def test_a_sandbox_that_has_ended_is_one_line(sandbox: Sandbox) -> None:
    applied = apply(sandbox, SPEC, relay_cpu=0)
    sandbox.close()
    with pytest.raises(NetemError) as caught:
        require_carrying(sandbox, applied)
    assert "\n" not in str(caught.value)


def test_qdiscs_are_named_root_first() -> None:
    assert kinds([{"kind": "netem", "delay_us": 1}, {"kind": "htb"}]) == "netem, htb"
    assert kinds([]) == "none"
