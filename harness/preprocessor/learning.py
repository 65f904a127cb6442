"""One compiled step of gradient descent (TensorFlow when called)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.preprocessor.recipe import Recipe

#: Weights that decay does not touch.
_UNDECAYED = ("gamma", "beta", "bias")
#: A score below this is taken for it where logits are had from scores.
_LEAST_SCORE = 1e-30


class LearningStep:
    """Call it with a batch; it moves the model's trainable weights and gives the loss.

    Args:
        model: Keras model, [batch, height, width, channels] to softmax scores [batch, classes].
        recipe: how it is trained.
    """

    def __init__(self, model: Any, recipe: Recipe) -> None:
        import keras
        import tensorflow as tf

        self._tf = tf
        optimizer = keras.optimizers.SGD(
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay or None,
        )
        optimizer.exclude_from_weight_decay(var_names=list(_UNDECAYED))
        optimizer.build(model.trainable_variables)
        self._optimizer = optimizer
        weights = list(model.trainable_variables)
        logits_of = logits(model)
        weight, temperature = recipe.distillation, recipe.temperature

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def step(x: Any, labels: Any, soft: Any) -> Any:
            with tf.GradientTape() as tape:
                z = logits_of(x, training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=z))
                if soft is not None:
                    # Cross-entropy against the teacher; times T^2, so that its gradient does not shrink with T.
                    target = tf.nn.softmax(soft / temperature)
                    each = tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=z / temperature)
                    loss = (1 - weight) * loss + weight * temperature**2 * tf.reduce_mean(each)
                total = tf.add_n([loss, *model.losses]) if model.losses else loss
            optimizer.apply(tape.gradient(total, weights), weights)
            return loss

        self._compiled = step

    @property
    def variables(self) -> list[Any]:
        """Of the optimizer: what has to be saved beside the model's own."""
        return list(self._optimizer.variables)

    def __call__(
        self, x: NDArray[np.float32], labels: NDArray[np.int32], soft: NDArray[np.float32] | None, rate: float
    ) -> float:
        """One step.

        Args:
            x: [batch, height, width, channels].
            labels: [batch].
            soft: the teacher's logits, [batch, classes]; None without one.
            rate: learning rate.

        Returns:
            The loss before the step.
        """
        tf = self._tf
        self._optimizer.learning_rate.assign(rate)
        target = None if soft is None else tf.constant(soft)
        return float(self._compiled(tf.constant(x), tf.constant(labels), target))


def logits(model: Any) -> Any:
    """What a model's softmax is taken of: a function of (x, training) to [batch, classes], sharing its weights.

    Exact where the last layer is dense; else the scores' logarithm, whose softmax is the scores again. A model that
    ends without an activation gives logits itself.
    """
    import keras
    import tensorflow as tf

    last = model.layers[-1]
    if isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax:
        body = keras.Model(model.inputs[0], last.input)

        def dense(x: Any, training: bool) -> Any:
            return tf.matmul(body(x, training=training), last.kernel) + (last.bias if last.use_bias else 0.0)

        return dense
    if getattr(last, "activation", None) is keras.activations.linear:
        return lambda x, training: model(x, training=training)
    return lambda x, training: tf.math.log(tf.maximum(model(x, training=training), _LEAST_SCORE))
