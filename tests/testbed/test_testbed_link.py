"""The link section of a spec as `netem` takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec import PROJECT, Spec
from harness.testbed.link import base_link, link_spec, trace_of, variability
from netem import GilbertElliott, Impairments, LinkSpec
from netem.trace import cellular_uplink


def spec(*overrides: str) -> Spec:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return Spec.from_config(compose("config", list(overrides)))


PLAIN = spec()
FIVEG = spec("link=fiveg", "link.duration_s=20", "latency=40")
CSV = "t_s,rate_mbps,delay_ms,loss\n0,30,5,\n1,60,,0.5\n4,10,,\n"


def refusal(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        link_spec(spec(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plain_link_varies_in_nothing() -> None:
    link = link_spec(PLAIN)
    assert (link.rate_up_mbps, link.rate_down_mbps, link.delay_up_ms, link.delay_down_ms) == (57, 1000, 14, 14)
    assert link.impairments_up.none
    assert link.impairments_down.none
    assert variability(PLAIN).none
    assert trace_of(PLAIN) is None


@given(
    jitter_ms=st.none() | st.floats(0, 100),
    distribution=st.sampled_from([None, "normal", "pareto", "uniform"]),
    shares=st.tuples(*[st.none() | st.floats(0, 1)] * 5),
    both=st.booleans(),
    seed=st.none() | st.integers(0, 99),
)
def test_every_impairment_reaches_netem_under_its_name(
    jitter_ms: float | None,
    distribution: str | None,
    shares: tuple[float | None, ...],
    both: bool,
    seed: int | None,
) -> None:
    correlation, loss, reorder, duplicate, corrupt = shares
    values = PLAIN.model_dump()
    values["link"] |= {
        "jitter_ms": jitter_ms,
        "jitter_distribution": distribution,
        "jitter_correlation": correlation,
        "loss": loss,
        "reorder": reorder,
        "duplicate": duplicate,
        "corrupt": corrupt,
        "impair": "both" if both else "up",
        "seed": seed,
    }
    own = Spec.from_config({**values, "seed": 7})
    link = link_spec(own)
    expected = Impairments(
        jitter_ms or 0,
        distribution or "normal",
        correlation or 0,
        loss or 0,
        reorder or 0,
        duplicate or 0,
        corrupt or 0,
    )
    assert link.impairments_up == expected
    assert link.impairments_down == (expected if both else Impairments())
    assert link.seed == (7 if seed is None else seed)
    found = variability(own)
    assert found.none == expected.none
    assert (found.jitter_ms, found.loss) == (jitter_ms or 0, loss or 0)


def test_bursty_loss_has_its_own_section() -> None:
    own = spec("link.gilbert_elliott.to_bad=0.1", "link.gilbert_elliott.to_good=0.3")
    assert link_spec(own).impairments_up.loss == GilbertElliott(0.1, 0.3)
    assert variability(own).bursty
    assert variability(own).loss == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["link.gilbert_elliott.to_bad=0.1"], ["gilbert_elliott", "set both"]),
        (
            ["link.gilbert_elliott.to_bad=0.1", "link.gilbert_elliott.to_good=0.3", "link.loss=0.1"],
            ["loss=0.1", "exclude each other"],
        ),
        (["link=trace"], ["link.trace=FILE", "t_s, rate_mbps", "link=fiveg"]),
        (["link=trace", "link.trace=nowhere/up.csv"], ["link.trace", "nowhere/up.csv", "No such file"]),
        (["link=trace", "link.trace=README.md"], ["link.trace", "README.md", "millisecond"]),
        (["link.trace=up.csv"], ["link.trace=up.csv", "link=static", "add link=trace"]),
        (["link=fiveg", "link.trace=up.csv"], ["link=fiveg replays no file"]),
        (["link.loss=1.5"], ["link.loss=1.5", "at most 1", "fraction"]),
        (["link.jitter_ms=-1"], ["link.jitter_ms=-1", "in ms"]),
        (["link.jitter_distribution=nomal"], ["normal, pareto, uniform", "did you mean 'normal'?"]),
        (["link.impair=down"], ["link.impair=down", "both, up"]),
    ],
)
def test_an_impossible_link_is_one_line_with_the_remedy(overrides: list[str], parts: list[str]) -> None:
    message = refusal(*overrides)
    assert [part for part in parts if part not in message] == []


def test_a_trace_is_its_mean_and_its_points(tmp_path: Path) -> None:
    (tmp_path / "up.csv").write_text(CSV)
    own = spec("link=trace", f"link.trace={tmp_path / 'up.csv'}", "latency=28", "link.loss=0.25", "bandwidth=99")
    points = variability(own).trace
    assert points is not None
    assert points.dt_s.tolist() == [1, 3, 3]
    assert points.rate_mbps.tolist() == [30, 60, 10]
    assert points.delay_ms.tolist() == [5, 14, 14]
    assert points.loss.tolist() == [0.25, 0.5, 0.25]
    assert variability(own).loss == 0.5
    mean = link_spec(own)
    assert mean.rate_up_mbps == pytest.approx((30 + 180 + 30) / 7)
    assert mean.delay_up_ms == pytest.approx((5 + 42 + 42) / 7)
    assert mean.impairments_up.loss_rate == pytest.approx((0.25 + 1.5 + 0.75) / 7)
    assert (mean.rate_down_mbps, mean.delay_down_ms, mean.impairments_down.loss) == (1000, 14, 0.25)
    assert base_link(own).rate_up_mbps == 99


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "up.csv"
    path.write_text("t_s,rate_mbps\n0,30\n")
    own = spec("link=trace", f"link.trace={path}")
    assert link_spec(own).rate_up_mbps == 30
    path.write_text("t_s,rate_mbps\n0,40\n")
    assert link_spec(own).rate_up_mbps == 40


@given(st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**32 - 1))
def test_the_generated_uplink_follows_its_seed(root: int, seed: int | None) -> None:
    values = FIVEG.model_dump()
    values["link"] |= {"seed": seed}
    own = Spec.from_config({**values, "seed": root})
    assert trace_of(own) == cellular_uplink(20, root if seed is None else seed, delay_ms=20)
    assert own.link.loop


def test_what_a_predictor_is_given_is_a_link() -> None:
    assert isinstance(link_spec(spec("link=fiveg")), LinkSpec)
