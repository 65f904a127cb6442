"""Where TensorFlow computes on a tier: one processor, named at every step, and waited for before a clock is read.

The same code on a CPU and on a GPU. On a GPU kernels run on while Python goes on: a clock read without waiting would
see the launch and not the work. A copy to the host (`np.asarray`) waits by itself; what stays on the GPU is waited for
by `settle`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from harness.errors import CapabilityError

PROCESSORS = ("cpu", "gpu")


class Placement:
    """One processor of this process's TensorFlow.

    Args:
        processor: `cpu` or `gpu` (the first that the process sees; which one that is, CUDA_VISIBLE_DEVICES says).

    Raises:
        CapabilityError: a GPU is asked for and TensorFlow sees none.
        ValueError: no such processor.
    """

    def __init__(self, processor: str) -> None:
        import tensorflow as tf

        if processor not in PROCESSORS:
            raise ValueError(f"no processor {processor!r}; allowed: {', '.join(PROCESSORS)}")
        self._tf = tf
        self.processor = processor
        self.device = f"/{processor.upper()}:0"
        gpus = tf.config.list_physical_devices("GPU")
        if processor == "gpu" and not gpus:
            raise CapabilityError(
                "processor=gpu: TensorFlow sees no GPU in this process; allowed: processor=cpu, or a driver and a "
                "TensorFlow with CUDA (pip install 'tensorflow[and-cuda]') on that host"
            )
        # Where there is no other processor, naming the one costs 20 us a request and decides nothing.
        self.named = bool(gpus)
        for gpu in gpus:
            _grow(tf, gpu)

    def scope(self) -> AbstractContextManager[Any]:
        """Operations made or traced inside run on this processor."""
        scope: AbstractContextManager[Any] = self._tf.device(self.device) if self.named else nullcontext()
        return scope

    def tensor(self, array: Any) -> Any:
        """An array as a tensor in this processor's memory; it is there when the call returns."""
        with self.scope():
            tensor = self._tf.convert_to_tensor(array)
            if self.processor == "gpu":
                tensor = self._tf.identity(tensor)  # a constant may stay on the host
        return self.settle(tensor)

    def settle(self, tensor: Any) -> Any:
        """The same tensor, once the processor has finished with it."""
        if self.processor == "gpu":
            self._tf.test.experimental.sync_devices()
        return tensor

    def require(self, tensor: Any) -> None:
        """Raise CapabilityError where a result lies in another processor's memory: TensorFlow placed it itself."""
        device = str(tensor.device)
        if self.named and not device.upper().endswith(self.device.replace("/", "").upper()):
            raise CapabilityError(f"TensorFlow computed on {device}, not on {self.device} as it was told")

    def describe(self) -> dict[str, Any]:
        """Processor, device, and of a GPU what TensorFlow knows of it (name, compute capability)."""
        found: dict[str, Any] = {"processor": self.processor, "device": self.device}
        if self.processor == "gpu":
            gpu = self._tf.config.list_physical_devices("GPU")[0]
            details = self._tf.config.experimental.get_device_details(gpu)
            found |= {name: str(value) for name, value in details.items()}
        return found


def _grow(tf: Any, gpu: Any) -> None:
    """Take memory as it is needed: the other tier, or another program, may use the same GPU."""
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # the GPU is in use by this process already, with whatever was set before
        if not tf.config.experimental.get_memory_growth(gpu):
            raise CapabilityError(
                "TensorFlow has taken all of the GPU's memory before the tier was made; start the process anew"
            ) from None
