"""Collections of labelled pictures, and how they are parted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.errors import SpecError
from harness.preprocessor.images import Files, Some, Stored, first_of_each, grey_resized, resized, stratified

label_lists = st.lists(st.integers(0, 4), min_size=2, max_size=200).map(lambda found: np.array(found, np.int32))


@settings(deadline=None)
@given(label_lists, st.floats(0.05, 0.9), st.integers(0, 2**32 - 1))
def test_a_stratified_part_holds_its_share_of_each_class_and_the_rest_the_others(labels, share, seed):
    rest, taken = stratified(labels, share, seed)
    assert sorted([*rest, *taken]) == list(range(len(labels)))
    for label in np.unique(labels):
        count = int((labels == label).sum())
        assert int((labels[taken] == label).sum()) == max(1, round(share * count))
    again = stratified(labels, share, seed)
    assert all(np.array_equal(a, b) for a, b in zip((rest, taken), again, strict=True))


@settings(deadline=None)
@given(label_lists, st.integers(1, 250), st.integers(0, 2**32 - 1))
def test_a_limited_part_keeps_the_proportions_of_the_classes(labels, count, seed):
    chosen = first_of_each(labels, count, seed)
    assert len(chosen) == min(count, len(labels))
    assert len(set(chosen.tolist())) == len(chosen)
    for label in np.unique(labels):
        wanted = len(chosen) * float((labels == label).mean())
        assert abs(int((labels[chosen] == label).sum()) - wanted) <= 1 + 1e-9


def test_grey_pictures_come_as_rgb_and_some_of_some_keep_pictures_and_labels_together():
    pictures = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * np.ones((1, 2, 3, 1), np.uint8)
    whole = Stored(pictures, np.arange(6, dtype=np.int32))
    assert whole.take(np.array([4, 1])).shape == (2, 2, 3, 3)
    part = Some(Some(whole, np.array([5, 3, 1])), np.array([2, 0]))
    assert part.labels.tolist() == [1, 5]
    assert [(int(picture[0, 0, 0]), label) for picture, label in part.pairs()] == [(1, 1), (5, 5)]


def test_a_picture_is_cropped_about_its_centre():
    grey = np.zeros((40, 80), np.uint8)
    grey[:, 30:50] = 255  # the middle half of a square crop of 40
    square = resized(Image.fromarray(grey), (20, 20))
    assert square.shape == (20, 20, 3)
    assert (square[:, 10] == 255).all()
    assert (square[:, 0] == 0).all()
    assert (resized(Image.fromarray(grey), (20, 20), central=0.5)[:, 1] == 255).all()
    assert grey_resized(np.full((2, 28, 28), 7, np.uint8), (32, 32)).shape == (2, 32, 32, 1)


def test_files_are_read_in_the_order_asked_for_and_a_broken_one_is_named(tmp_path):
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(np.full((9, 9, 3), 50 * index, np.uint8)).save(paths[-1])
    files = Files(tuple(paths), np.array([0, 1, 2], np.int32), (4, 5))
    taken = files.take(np.array([2, 0]))
    assert taken.shape == (2, 4, 5, 3)
    assert taken[:, 0, 0, 0].tolist() == [100, 0]
    paths[1].write_bytes(b"no picture")
    with pytest.raises(SpecError, match=r"1\.png is no picture .*; mend or remove it"):
        files.take(np.array([1]))
