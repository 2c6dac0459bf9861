"""Magnitude pruning on a polynomial schedule (Zhu and Gupta 2017), and what holds the zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from pipeline.errors import BuildError
from pipeline.settings import PruneSettings
from pipeline.tf import keras, tf, tfmot

layers: Any = keras.layers
api: Any = tfmot.sparsity.keras

# The zeros are made in this share of the steps, one more cut every CUTS-th of it; the
# rest of the steps heals.
SCHEDULE = 0.6
CUTS = 40


class PrunableDepthwise(layers.DepthwiseConv2D, api.PrunableLayer):  # type: ignore[misc]
    """A depthwise convolution whose kernel the toolkit prunes; its own it leaves alone."""

    def get_prunable_weights(self) -> list[Any]:
        """The kernel."""
        return [self.depthwise_kernel]


def kernel_of(layer: Any, *, depthwise: bool) -> Any:
    """The variable of a layer that pruning is about, or None."""
    if _is_depthwise(layer):
        return layer.depthwise_kernel if depthwise else None
    return layer.kernel if isinstance(layer, layers.Conv2D | layers.Dense) else None


def sparsities(shapes: Sequence[tuple[int, ...]], sparsity: float) -> list[float]:
    """The share of zeros of each kernel, so that all together have `sparsity`.

    Erdős–Rényi-Kernel (Evci et al. 2020, arXiv:1911.11134): a kernel's density
    is proportional to the sum of its dimensions over their product, and 1 at
    most.  Small kernels, such as the first convolution's, stay dense: they are
    few bytes and dear to accuracy.
    """
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    dense: set[int] = set()
    while True:
        others = [i for i in range(len(shapes)) if i not in dense]
        left = (1 - sparsity) * sum(sizes) - sum(sizes[i] for i in dense)
        factor = left / sum(raw[i] * sizes[i] for i in others)
        full = {i for i in others if factor * raw[i] >= 1}
        if not full:
            return [0.0 if i in dense else 1 - factor * raw[i] for i in range(len(shapes))]
        dense |= full


def prunable(model: Any, settings: PruneSettings, steps: int) -> Any:
    """A copy of the model that prunes itself while it is trained for `steps` steps.

    Train it with `api.UpdatePruningStep()` among the callbacks, then `finished`.
    """
    kernels = {layer.name: kernel_of(layer, depthwise=settings.depthwise) for layer in model.layers}
    pruned = {name: tuple(k.shape) for name, k in kernels.items() if k is not None}
    if not pruned:
        raise BuildError("the model has no kernel that can be pruned: set prune.sparsity = 0")
    shares = dict(zip(pruned, sparsities(list(pruned.values()), settings.sparsity), strict=True))

    def wrapped(layer: Any) -> Any:
        if not shares.get(layer.name):
            return _fresh(layer)
        fresh = _fresh(layer, PrunableDepthwise) if _is_depthwise(layer) else _fresh(layer)
        size = math.prod(pruned[layer.name])
        end = max(1, int(SCHEDULE * steps))
        schedule = api.PolynomialDecay(
            initial_sparsity=0.0,
            # at least the asked-for share: the toolkit rounds to the nearest count
            final_sparsity=math.ceil(shares[layer.name] * size) / size,
            begin_step=0,
            end_step=end,
            frequency=max(1, end // CUTS),
        )
        return api.prune_low_magnitude(fresh, schedule)

    try:
        copy = keras.models.clone_model(model, clone_function=wrapped)
    except ValueError as e:
        raise BuildError(f"the model cannot be pruned: {e}") from e
    _copy_weights(model, copy)
    return copy


def finished(pruned: Any) -> Any:
    """The pruned model without the toolkit's wrappers: plain layers with zeros in them."""

    def plain(layer: Any) -> Any:
        return _fresh(layer, layers.DepthwiseConv2D) if _is_depthwise(layer) else _fresh(layer)

    stripped = api.strip_pruning(pruned)
    copy = keras.models.clone_model(stripped, clone_function=plain)
    copy.set_weights(stripped.get_weights())
    return copy


def sparsity_of(kernels: list[NDArray[Any]]) -> float:
    """The share of zeros over all kernels together; 0 where there are none."""
    return sum(int((k == 0).sum()) for k in kernels) / max(1, sum(k.size for k in kernels))


def kernels_of(model: Any, *, depthwise: bool) -> list[NDArray[Any]]:
    """The values of every kernel that pruning is about."""
    kernels = (kernel_of(layer, depthwise=depthwise) for layer in model.layers)
    return [k.numpy() for k in kernels if k is not None]


class KeepZeros(keras.callbacks.Callback):  # type: ignore[misc]
    """Puts the zeros of every kernel back after every step.

    The toolkit's prune-preserving quantisation does it in most layers, but leaves out
    depthwise kernels, and kernels before a ReLU without batch normalisation between.
    """

    def __init__(self, quantized: Any) -> None:
        super().__init__()
        # the wrapper has put the fake-quantised tensor where the layer's variable was
        kernels = [v for v in quantized.trainable_variables if v.name.endswith("kernel:0")]
        self._kept = [(k, tf.constant(k.numpy() != 0, k.dtype)) for k in kernels]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        for kernel, mask in self._kept:
            kernel.assign(kernel * mask)


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, layers.DepthwiseConv2D)  # which is a Conv2D too


def _fresh(layer: Any, kind: Any = None) -> Any:
    """A layer of the same configuration with variables of its own."""
    return (kind or type(layer)).from_config(layer.get_config())


def _copy_weights(source: Any, target: Any) -> None:
    """By layer: wrappers add variables of their own behind those of the layer."""
    for one, two in zip(source.layers, target.layers, strict=True):
        inner = two.layer if hasattr(two, "pruning_step") else two
        inner.set_weights(one.get_weights())
