"""Operators without geometry: ADD, MUL, RESHAPE, and those that are the identity in float."""

from __future__ import annotations

from dataclasses import dataclass

from device_sim.twin.op import Array, Arrays, Saved


@dataclass(frozen=True)
class Add:
    """The sum of two activations of one shape; both get the gradient."""

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """A + b."""
        del params
        return inputs[0] + inputs[1], ()

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradient, twice."""
        del saved
        return (grad, grad), ()


@dataclass(frozen=True)
class Mul:
    """The product, value by value, of two activations of one shape."""

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """A · b."""
        del params
        return inputs[0] * inputs[1], inputs

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """Each gets the gradient times the other."""
        return (grad * saved[1], grad * saved[0]), ()


@dataclass(frozen=True)
class Reshape:
    """The same values in another shape; with one shape on both sides, the identity.

    The identity stands for QUANTIZE, DEQUANTIZE, RELU and RELU6: what they
    do is the clamp that follows every operator.
    """

    sample: tuple[int, ...]  # of the input, without the batch
    to: tuple[int, ...]

    def forward(self, params: Arrays, inputs: Arrays) -> tuple[Array, Saved]:
        """(n, *sample) → (n, *to)."""
        del params
        return inputs[0].reshape(len(inputs[0]), *self.to).copy(), ()

    def backward(self, saved: Saved, grad: Array) -> tuple[Arrays, Arrays]:
        """The gradient in the input's shape."""
        del saved
        return (grad.reshape(len(grad), *self.sample),), ()
