"""Magnitude pruning on a polynomial schedule (Zhu and Gupta 2017), and what holds the zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
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


def zeros_of(kernels: Sequence[NDArray[Any]], sparsity: float) -> list[int]:
    """How many weights of each kernel become zero, so that all together have `sparsity`.

    Layer-adaptive magnitudes (LAMP: Lee et al. 2021, arXiv:2010.07611): a weight's
    score is its square over the sum of the squares, in its kernel, that are no
    smaller; the least scores of the whole network go.  A kernel in which few
    weights carry all keeps few, and each keeps its largest.

    Args:
        kernels: trained, of any shapes.
        sparsity: 0 to 1; the count of all zeros is rounded up.
    """
    scores, owners = [], []
    for number, kernel in enumerate(kernels):
        squares = np.sort(np.square(kernel.ravel().astype(np.float64)))
        larger = np.cumsum(squares[::-1])[::-1]
        # a kernel of zeros, as some layers begin, says nothing: 0
        scores.append(np.divide(squares, larger, out=np.zeros_like(squares), where=larger > 0))
        owners.append(np.full(kernel.size, number))
    order = np.argsort(np.concatenate(scores), kind="stable")
    gone = np.concatenate(owners)[order[: math.ceil(sparsity * len(order))]]
    counts: list[int] = np.bincount(gone, minlength=len(kernels)).tolist()
    return counts


def prunable(model: Any, settings: PruneSettings, steps: int) -> Any:
    """A copy of the model that prunes itself while it is trained for `steps` steps.

    Train it with `api.UpdatePruningStep()` among the callbacks, then `finished`.
    """
    kernels = {layer.name: kernel_of(layer, depthwise=settings.depthwise) for layer in model.layers}
    pruned = {name: k.numpy() for name, k in kernels.items() if k is not None}
    if not pruned:
        raise BuildError("the model has no kernel that can be pruned: set prune.sparsity = 0")
    zeros = dict(zip(pruned, zeros_of(list(pruned.values()), settings.sparsity), strict=True))

    def wrapped(layer: Any) -> Any:
        if not zeros.get(layer.name):
            return _fresh(layer)
        fresh = _fresh(layer, PrunableDepthwise) if _is_depthwise(layer) else _fresh(layer)
        end = max(1, int(SCHEDULE * steps))
        schedule = api.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=zeros[layer.name] / pruned[layer.name].size,
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
