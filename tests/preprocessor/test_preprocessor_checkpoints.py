"""Checkpoints: whole or not at all, whatever happens to the disk; one process a training."""

from __future__ import annotations

import resource
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.preprocessor import checkpoints
from harness.preprocessor.recipe import Recipe


@contextmanager
def full_disk(after_bytes: int):
    """No file of this process may become larger: `write` fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_comes_back(tmp_path):
    groups = {"model": [np.arange(6.0).reshape(2, 3), np.array(3, np.int64)], "optimizer": [], "best": [np.zeros(0)]}
    checkpoints.write(tmp_path / "c.npz", groups, {"step": 3, "history": [{"loss": 0.1}]})
    found, meta = checkpoints.read(tmp_path / "c.npz")
    assert meta == {"step": 3, "history": [{"loss": 0.1}]}
    assert list(found) == ["best", "model"]
    for ours, theirs in zip(found["model"], groups["model"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_on_a_full_disk_the_checkpoint_before_is_kept_and_one_line_says_so(tmp_path):
    path = tmp_path / "c.npz"
    checkpoints.write(path, {"model": [np.ones(10)]}, {"step": 1})
    with full_disk(5000), pytest.raises(HarnessError, match=r"c\.npz cannot be written.*is kept; make room") as caught:
        checkpoints.write(path, {"model": [np.ones(100_000)]}, {"step": 2})
    assert "\n" not in str(caught.value)
    assert checkpoints.read(path)[1] == {"step": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_named_and_none_is_none(tmp_path, content):
    assert checkpoints.read(tmp_path / "c.npz") is None
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(HarnessError, match=r"c\.npz is damaged .*delete it"):
        checkpoints.read(tmp_path / "c.npz")


def test_whoever_wants_the_same_training_waits_for_it_and_says_so(tmp_path):
    folder, order = tmp_path / "training", []
    waiting = threading.Event()

    def second():
        with checkpoints.alone(folder, waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with checkpoints.alone(folder):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    with checkpoints.alone(folder, lambda: order.append("nobody holds it")):
        pass
    assert len(order) == 2


@settings(deadline=None)
@given(st.floats(0.01, 5), st.integers(2, 300), st.integers(2, 5000), st.floats(0, 0.5))
def test_the_learning_rate_climbs_to_its_peak_and_falls_to_nothing(epochs, batch, images, warmup):
    recipe = Recipe(epochs, batch, 0.1, "cosine", warmup)
    plan = recipe.plan(images)
    assert 1 <= plan.batch <= batch
    assert plan.per_epoch * plan.batch <= images < (plan.per_epoch + 1) * plan.batch
    assert plan.steps - 1 < epochs * plan.per_epoch <= plan.steps
    rates = [recipe.rate(step, plan.steps) for step in range(plan.steps)]
    assert all(0 <= rate <= 0.1 + 1e-12 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_papers_rate_is_constant():
    assert {Recipe(3).rate(step, 100) for step in range(100)} == {0.001}
