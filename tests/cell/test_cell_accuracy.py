"""Accuracy over the link: what is sent to the agent, what is counted, what is written down."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from harness.cell import accuracy
from harness.errors import SpecError
from harness.results.schema import Key
from harness.spec import PROJECT, Spec

KEY = Key("split", 35, "maxpool")


class Agent:
    """Classifies a picture by its first pixel; offline it is wrong for class 3."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
        assert (name, arguments["candidate"], arguments["shape"]) == ("classify", str(KEY), [2, 3, 3])
        self.calls.append(len(arguments["pictures"]))
        answers = []
        for encoded in arguments["pictures"]:
            seen = int(np.frombuffer(base64.b64decode(encoded), np.uint8)[0])
            classes = [seen, *(each for each in range(6) if each != seen)][:5]
            offline = [0, *classes[1:]] if seen == 3 else classes
            answers.append({"classes": classes, "offline": offline, "difference": 0.5, "total_ms": 10.0 + seen})
        return answers


def images(count: int) -> Iterator[accuracy.LabelledImage]:
    for number in range(count):
        yield np.full((2, 3, 3), number % 4, np.uint8), number % 5


def test_every_picture_is_sent_once_and_counted() -> None:
    agent, shares = Agent(), []
    found = accuracy.classify(agent, KEY, images(50), 40, lambda _, share: shares.append(share))
    assert agent.calls == [16, 16, 8]
    assert shares[-1] == 1.0
    summary = accuracy.record(KEY, "digits", found)
    same = [number for number in range(40) if number % 4 == number % 5]
    assert summary["top1"] == len(same) / 40
    assert summary["top5"] == 1.0
    assert summary["agreeing"] == 30
    assert summary["disagreeing_images"] == list(range(3, 40, 4))
    assert (summary["dataset"], summary["images"], summary["max_score_difference"]) == ("digits", 40, 0.5)
    assert "10 come out otherwise" in accuracy.line(summary)
    assert "come out the same" in accuracy.line({**summary, "agreeing": 40})


def test_each_image_has_its_line(tmp_path: Path) -> None:
    found = accuracy.classify(Agent(), KEY, images(5), 5, lambda *_: None)
    accuracy.write_predictions(tmp_path, found)
    with (tmp_path / accuracy.PREDICTIONS).open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["label"], row["predicted"], row["offline"], row["agree"]) for row in rows[2:4]] == [
        ("2", "2", "2", "2", "true"),
        ("3", "3", "3", "0", "false"),
    ]


def test_a_data_set_that_is_too_small_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"measure\.images=9: the data set has only 5 test images"):
        accuracy.classify(Agent(), KEY, images(5), 9, lambda *_: None)


def test_every_class_of_the_data_set_has_its_share_of_the_images(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (40, 30), (number, 0, 0)).save(tmp_path / part / name / f"{number}.png")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        given = ["model=mobilenetv2", "split=35", "dataset=imagefolder", f"dataset.path={tmp_path}", "measure.images=6"]
        spec = Spec.from_config(compose("config", given))
    assert accuracy.asked(spec)
    accuracy.check(spec)

    class Counting:
        def call(self, name: str, timeout_s: float = 0.0, **arguments: Any) -> Any:
            assert arguments["shape"] == [224, 224, 3]
            return [{"classes": [0], "offline": [0], "difference": 0.0, "total_ms": 1.0} for _ in arguments["pictures"]]

    found = accuracy.over_the_link(spec, Counting(), [], tmp_path / "cell", lambda *_: None)
    assert found is not None
    assert (found["images"], found["top1"], found["candidate"]) == (6, 0.5, "split/35/maxpool/float32")
    with (tmp_path / "cell" / accuracy.PREDICTIONS).open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert sorted(labels) == ["0"] * 3 + ["1"] * 3
