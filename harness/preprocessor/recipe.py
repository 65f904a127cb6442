"""How a network is trained: the numbers, and the learning rate they come to (no TensorFlow)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on cross-entropy; the defaults are the paper's (section 4.3), where it says.

    epochs          passes over the training part, fractions allowed
    batch           pictures a step
    learning_rate   at its peak
    schedule        `constant` (the paper), or `cosine` to zero
    warmup          share of all steps over which the rate climbs linearly from zero
    momentum        Nesterov's where above 0
    weight_decay    decoupled, times the learning rate; kernels only
    bn_momentum     of batch normalisation's running mean and variance while training. Keras's 0.99 remembers hundreds
                    of steps, more than a short retraining has.
    patience        epochs without a better top-1 on the validation part after which training stops, and the best
                    epoch's weights are taken; None: neither
    frozen_head     layers up to the cut keep their weights and statistics
    distillation    weight of the untouched model's scores as targets against the labels, 0: labels alone
    temperature     that both scores are divided by in distillation (Hinton et al. 2015)
    """

    epochs: float
    batch: int = 128
    learning_rate: float = 0.001
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    bn_momentum: float = 0.9
    patience: int | None = None
    frozen_head: bool = False
    distillation: float = 0.0
    temperature: float = 1.0

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0, of `steps` in all."""
        climb = self.warmup * steps
        if step < climb:
            return self.learning_rate * (step + 1) / (climb + 1)
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - climb) / max(1.0, steps - climb)
        return self.learning_rate * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def plan(self, images: int) -> Plan:
        """How many steps that is over so many pictures."""
        batch = min(self.batch, images)
        per_epoch = images // batch
        return Plan(batch, per_epoch, math.ceil(self.epochs * per_epoch))


@dataclass(frozen=True)
class Plan:
    """batch: pictures a step. per_epoch: steps an epoch (what is left over waits for the next one). steps: in all."""

    batch: int
    per_epoch: int
    steps: int


#: A record for each epoch, in order.
History = list[dict[str, Any]]
