"""Measures what each cut of a network reveals of its picture, and draws what crosses there.

    python -m harness.preprocessor.leakage < request.json

does it in a process of its own; see `main`. Importing this module does not import TensorFlow; only the calls do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.dnn import inputs, slices, zoo
from harness.dnn.cuts import Cut, find_cuts
from harness.preprocessor import decoder
from harness.preprocessor.decoder import Examples
from harness.preprocessor.dependence import distance_correlation, distances
from harness.results.leakage import CutLeakage
from harness.transfer import layers

#: Images of each tensor that are drawn: the mean over its channels, then its liveliest ones.
TILES = 8
#: Pixels of a tile's longer side, and at least of the other: a vector is drawn as a band.
TILE, _BAND = 64, 8
#: Pictures of a decoder's training and of its test. The test's come from another part of the photographs.
_TRAINING, _TEST = 192, 32
#: Part of a photograph's width, from the left, that training pictures are cut from.
_TRAINING_PART = 0.7
#: Of the crops and of the decoders: the numbers depend on the network alone.
_SEED = 0

Advance = Callable[[str, float], None]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    transfer_layers   labels, each at every cut where it can stand
    pictures          crops of photographs that the correlation is over
    decoders          cuts at which decoders are trained, for each transfer layer
    decoder_steps     their training
    shown             front cuts whose tensors are drawn
    """

    model: zoo.ModelSpec
    transfer_layers: tuple[str, ...]
    pictures: int
    decoders: int
    decoder_steps: int
    shown: int


def measure(plan: Plan, advance: Advance) -> tuple[list[CutLeakage], dict[str, Any], dict[str, NDArray[np.uint8]]]:
    """Every cut of the network.

    Returns:
        The numbers; of the decoder its budget and the SSIM of the mean picture; and by cut the tiles that show its
        tensor, uint8 [tiles, height, width], those of the front cuts.
    """
    model = zoo.build(plan.model)
    cuts = find_cuts(model)
    shape = plan.model.input_shape
    pictures = inputs.crops(shape, plan.pictures, seed=_SEED)
    photograph = inputs.photograph(shape)
    found: list[CutLeakage] = []
    tiles: dict[str, NDArray[np.uint8]] = {}
    given = distances(pictures)
    batch = np.concatenate([photograph, pictures])
    for number, (cut, tensors) in enumerate(_tensors(model, cuts, zoo.preprocess(plan.model, batch)), start=1):
        if number <= plan.shown:
            tiles[str(cut.index)] = tiles_of(tensors[0])
        for label, payload in _payloads(cut, tensors[1:], plan.transfer_layers, plan.model.seed):
            revealed = distance_correlation(given, distances(payload))
            found.append(CutLeakage(cut.index, cut.layer, label, revealed))
        advance("what the cuts reveal", number / len(cuts))
    chosen = _spread([cut.index for cut in cuts], plan.decoders)
    reached, baseline = _decoded(plan, model, cuts, chosen, advance)
    found = [replace(cut, ssim=reached.get((cut.split, cut.transfer_layer))) for cut in found]
    budget = {"steps": plan.decoder_steps, "pictures": _TRAINING, "cuts": list(chosen), "baseline_ssim": baseline}
    return found, budget, tiles


def tiles_of(tensor: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A tensor [height, width, channels] as images [tiles, height, width], each stretched to its own range.

    The mean over the channels first, then the channels that vary most. A tensor without spatial axes is one row.
    """
    if tensor.ndim != 3:
        tensor = tensor.reshape(1, -1, 1)
    liveliest = np.argsort(-tensor.std(axis=(0, 1)), kind="stable")[: TILES - 1]
    images = [tensor.mean(axis=2), *(tensor[:, :, channel] for channel in liveliest)]
    return np.stack([_image(image) for image in images])


def main() -> None:
    """Read {model, transfer_layers, pictures, decoders, decoder_steps, shown, tiles} as JSON from standard input.

    `tiles` is the .npz file that the images go to. The result is {cuts, decoder}.
    """
    from harness.preprocessor import worker

    def work(request: dict[str, Any], advance: Advance) -> dict[str, Any]:
        model, target = zoo.ModelSpec.of(request.pop("model")), Path(request.pop("tiles"))
        labels = tuple(request.pop("transfer_layers"))
        cuts, budget, tiles = measure(Plan(model, labels, **request), advance)
        np.savez_compressed(target, **tiles)
        return {"cuts": [asdict(cut) for cut in cuts], "decoder": budget}

    worker.serve(work)


# -- tensors --------------------------------------------------------------------------------------------


def _tensors(model: Any, cuts: Sequence[Cut], x: NDArray[np.float32]) -> Iterator[tuple[Cut, NDArray[np.float32]]]:
    """Each cut with its tensors [n, ...]; every layer runs once."""
    start = 0
    for cut in cuts:
        x = _run(slices.block(model, start, cut.index), x)
        start = cut.index
        yield cut, x


def _run(part: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A Keras model over a batch, some pictures at a time."""
    return np.concatenate([np.asarray(part(x[at : at + 32], training=False)) for at in range(0, len(x), 32)])


def _payloads(
    cut: Cut, tensors: NDArray[np.float32], labels: Sequence[str], seed: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What crosses the cut with each transfer layer that can stand there."""
    for label in labels:
        layer = layers.get(label, seed=seed)
        if layer.infeasible_because(cut.shape) is not None:
            continue
        device_tl = layer.device_tl(cut.shape)
        yield label, tensors if device_tl is None else _run(device_tl, tensors)


def _image(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    grey = Image.fromarray(((image - low) / ((high - low) or 1.0) * 255).astype(np.uint8))
    scale = TILE / max(grey.size)
    size = (max(_BAND, round(grey.width * scale)), max(_BAND, round(grey.height * scale)))
    return np.asarray(grey.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX))


# -- decoders -------------------------------------------------------------------------------------------


def _decoded(
    plan: Plan, model: Any, cuts: Sequence[Cut], chosen: Sequence[int], advance: Advance
) -> tuple[dict[tuple[int, str], float], float | None]:
    """By cut and transfer layer the SSIM that a decoder reaches; and that of the mean picture, which knows nothing."""
    if not chosen:
        return {}, None
    shape, seed = plan.model.input_shape, plan.model.seed
    train = inputs.crops(shape, _TRAINING, seed=_SEED + 1, part=(0.0, _TRAINING_PART))
    test = inputs.crops(shape, _TEST, seed=_SEED + 2, part=(_TRAINING_PART, 1.0))
    batch = np.concatenate([train, test])
    small = decoder.shrunk(batch)
    baseline = np.repeat(small[:_TRAINING].mean(axis=0, keepdims=True), _TEST, axis=0)
    reached: dict[tuple[int, str], float] = {}
    tensors = zoo.preprocess(plan.model, batch)
    start, by_index = 0, {cut.index: cut for cut in cuts}
    for number, index in enumerate(chosen, start=1):
        tensors = _run(slices.block(model, start, index), tensors)
        start = index
        for label, payload in _payloads(by_index[index], tensors, plan.transfer_layers, seed):
            reached[index, label] = decoder.reconstruction_ssim(
                Examples(payload[:_TRAINING], small[:_TRAINING]),
                Examples(payload[_TRAINING:], small[_TRAINING:]),
                steps=plan.decoder_steps,
                seed=_SEED,
            )
        advance("training decoders", number / len(chosen))
    return reached, decoder.ssim(baseline, small[_TRAINING:])


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """`count` of them, evenly, the first and the last among them."""
    if count <= 0:
        return []
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    return [indices[place] for place in sorted(set(places.tolist()))]


if __name__ == "__main__":
    main()
