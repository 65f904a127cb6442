"""What may be asked of a board of its own, said before anything is started."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir

from harness.cell import check
from harness.errors import SpecError
from harness.spec import PROJECT, Spec

REACHED = (
    "hardware=remote",
    "hardware.device.host=board",
    "hardware.device.interface=eth0",
    "hardware.edge.address=192.168.1.10",
)


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", list(overrides)))


def test_a_board_that_can_be_reached_is_right() -> None:
    found = spec(*REACHED)
    check(found)
    assert found.hardware.unavailable_terms == ("uplink", "downlink")
    assert not found.hardware.one_clock
    assert Spec.from_yaml(found.to_yaml()) == found
    assert spec(*REACHED, "hardware.device.cpu=1").hardware.device.cpu == 1  # cores of two hosts may share a number


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hardware=remote",), "hardware.device.host=null"),
        ((*REACHED[:2],), "hardware.device.interface=null"),
        ((*REACHED[:3],), "hardware.edge.address=null"),
        ((*REACHED, "link=fiveg"), "link=fiveg: not with hardware=remote"),
        ((*REACHED, "link.backend=relay"), "link.backend=relay: not with hardware=remote"),
        ((*REACHED, "link.backend=rate-only", "link.loss=0.01"), "makes no jitter, loss"),
        ((*REACHED, "hardware.edge.endpoint=per_cut"), "hardware.edge.endpoint=per_cut: not with hardware=remote"),
        (("+hardware.device.host=board",), "add hardware=remote"),
        (("link.backend=rate-only",), "is for hardware=remote"),
        (("hardware=remote", "hardware.device.host='-oProxyCommand=x'"), "no destination of ssh"),
        (("hardware=remote", "hardware.device.host='a b'"), "no destination of ssh"),
        (("hardware=remote", "hardware.device.interface='eth0;x'"), "no name of an interface"),
        (("hardware=remote", "hardware.edge.address=here"), "no IPv4 address"),
        (("hardware=remote", "hardware.device.ssh_options=[-v]"), "is no option of ssh"),
        (("hardware=remote", "hardware.device.lease_s=1"), "lease_s"),
    ],
)
def test_what_cannot_be_is_one_line(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        check(spec(*overrides))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
