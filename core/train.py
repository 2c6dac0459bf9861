"""Training on the compiled core: its structs, its plans, and memory for its calls.

firmware/core/include/microfed/train.h is the contract; names here are those there.
Plans keep no state between calls, so threads may share them; ctypes releases the GIL
for as long as a call runs.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_size_t, c_uint32
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.library import library

F32 = NDArray[np.float32]
ALIGN = 64


class Kind(IntEnum):
    """mf_train_kind."""

    CONV = 0
    DEPTHWISE = 1
    DENSE = 2
    AVERAGE_POOL = 3
    MAX_POOL = 4
    ADD = 5
    MUL = 6
    PLACE = 7
    COPY = 8


class Loss(IntEnum):
    """mf_train_loss."""

    CROSS_ENTROPY = 0
    SQUARED_ERROR = 1


class Path(IntEnum):
    """mf_path."""

    PORTABLE = 0
    AVX2 = 1
    AVX512 = 2
    NEON = 3


class Status(IntEnum):
    """mf_status."""

    OK = 0
    BAD_MODEL = 1
    UNSUPPORTED = 2
    NO_MEMORY = 3
    MISALIGNED = 4
    BAD_ARGUMENT = 5
    DIVERGED = 6
    BAD_DATA = 7


class Shape(Structure):
    """mf_shape."""

    _fields_ = (("height", c_int32), ("width", c_int32), ("channels", c_int32))


class Window(Structure):
    """mf_window."""

    _fields_ = tuple(
        (name, c_int32)
        for name in (
            *("kernel_height", "kernel_width", "stride_height", "stride_width"),
            *("dilation_height", "dilation_width", "pad_top", "pad_left"),
        )
    )


class Tensor(Structure):
    """mf_train_tensor."""

    _fields_ = (("shape", Shape), ("low", c_float), ("high", c_float), ("step", c_float))


class Step(Structure):
    """mf_train_step."""

    _fields_ = (
        ("kind", c_int32),
        ("inputs", c_int32 * 2),
        ("output", c_int32),
        ("weight", c_int32),
        ("bias", c_int32),
        ("window", Window),
        ("place", c_int32 * 3),
    )


class _Model(Structure):
    _fields_ = (
        ("tensors", POINTER(Tensor)),
        ("steps", POINTER(Step)),
        ("tensor_count", c_int32),
        ("step_count", c_int32),
        ("parameter_count", c_int32),
        ("input", c_int32),
        ("output", c_int32),
        ("loss", c_int32),
    )


class Recipe(Structure):
    """mf_recipe."""

    _fields_ = (
        ("epochs", c_int32),
        ("batch", c_int32),
        ("learning_rate", c_float),
        ("momentum", c_float),
        ("weight_decay", c_float),
        ("proximal", c_float),
        ("clip_norm", c_float),
        ("rotation", c_float),
        ("fake_quantize", c_int32),
    )


class Samples(Structure):
    """mf_samples; pointers as addresses."""

    _fields_ = (("x", c_size_t), ("y", c_size_t), ("count", c_int32))

    held: tuple[F32, NDArray[np.int32]]  # what they point to, where the core keeps them


class Stored(Structure):
    """mf_stored; pointers as addresses."""

    _fields_ = (
        ("weights", c_size_t),
        ("bias", c_size_t),
        ("scales", c_size_t),
        ("mask", c_size_t),
        ("scale_count", c_int32),
        ("input_scale", c_float),
    )


class CoreError(Exception):
    """A call of the core ended with another status than OK."""

    def __init__(self, call: str, status: int) -> None:
        super().__init__(f"{call}: {Status(status).name}")
        self.status = Status(status)


@cache
def functions() -> ctypes.CDLL:
    """The library, its signatures declared and its structs compared with ours."""
    core = library()
    ours = [ctypes.sizeof(s) for s in (Tensor, Step, _Model, Recipe, Samples, Stored)]
    theirs = list((c_uint32 * 6).in_dll(core, "mf_train_sizes"))
    if ours != theirs:
        raise RuntimeError(f"the core was compiled from other sources: structs {theirs}, {ours}")
    address, model = c_size_t, POINTER(_Model)
    core.mf_plan_bytes.argtypes = (model,)
    core.mf_plan_bytes.restype = c_size_t
    core.mf_plan_training.argtypes = (
        *(model, ctypes.c_char_p, c_int32, c_int32, address, c_size_t),
    )
    core.mf_train_bytes.argtypes = (address, POINTER(Recipe), c_int32)
    core.mf_train_bytes.restype = c_size_t
    core.mf_train.argtypes = (
        *(address, POINTER(Recipe), POINTER(Samples), c_uint32),
        *(address, address, address, POINTER(c_float), address, c_size_t),
    )
    core.mf_plan_stored.argtypes = (
        *(model, ctypes.c_char_p, POINTER(Stored), c_int32, address, c_size_t),
    )
    core.mf_plan_places.argtypes = (address, POINTER(c_int32))
    core.mf_plan_places.restype = c_size_t
    core.mf_stored_count.argtypes = (address,)
    core.mf_stored_count.restype = c_size_t
    core.mf_train_stored.argtypes = (
        *(address, POINTER(Recipe), POINTER(Samples), c_uint32),
        *(address, POINTER(c_float), address, c_size_t),
    )
    core.mf_stored_update.argtypes = (address, address)
    core.mf_stored_update.restype = None
    core.mf_gradient_bytes.argtypes = (address,)
    core.mf_gradient_bytes.restype = c_size_t
    core.mf_gradient.argtypes = (
        *(address, POINTER(Samples), c_int32, address, address),
        *(POINTER(c_float), address, c_size_t),
    )
    core.mf_predict.argtypes = (*(address, address, c_int32), *(address,) * 3, c_size_t)
    return core


def best_path() -> Path:
    """The fastest path of this machine."""
    return Path(functions().mf_best_path())


def paths() -> list[Path]:
    """The paths that this machine can run."""
    return [path for path in Path if functions().mf_has_path(path)]


class _Memory(threading.local):
    """Each thread's memory for calls: it grows to what the largest needed."""

    block = np.empty(0, np.uint8)

    def at_least(self, size: int) -> int:
        """The address of that many bytes."""
        if self.block.size < size + ALIGN:
            self.block = np.empty(size + ALIGN, np.uint8)
        return aligned(self.block)


MEMORY = _Memory()


def aligned(block: NDArray[np.uint8]) -> int:
    """The first address in the block at which the core accepts memory."""
    return -(-block.ctypes.data // ALIGN) * ALIGN


def check(call: str, status: int) -> None:
    """Raise CoreError unless the call ended well."""
    if status != Status.OK:
        raise CoreError(call, status)


class Model:
    """mf_train_model: tensors, and steps that compute one from others."""

    def __init__(
        self,
        tensors: Sequence[Tensor],
        steps: Sequence[Step],
        parameters: int,
        ends: tuple[int, int],
        loss: Loss = Loss.CROSS_ENTROPY,
    ) -> None:
        """`ends`: the tensors of the input and of the output."""
        self.tensors = (Tensor * len(tensors))(*tensors)
        self.steps = (Step * len(steps))(*steps)
        counts = (len(tensors), len(steps), parameters)
        self.struct = _Model(self.tensors, self.steps, *counts, *ends, loss)

    def values(self, tensor: int) -> int:
        """How many a sample of the tensor has."""
        shape = self.tensors[tensor].shape
        return int(shape.height * shape.width * shape.channels)


class Plan:
    """mf_plan: one choice of what trains, laid out for one path and so many samples at a time."""

    def __init__(self, model: Model, trains: bytes, tile: int, path: Path | None = None) -> None:
        """`trains` has a byte for each step: 1 its weights, 2 its bias, 3 both.

        Raises CoreError for a model that the core refuses.
        """
        self._core = functions()
        self._model = model
        if len(trains) != len(model.steps):
            raise ValueError(f"trains: {len(trains)} bytes for {len(model.steps)} steps")
        size = self._core.mf_plan_bytes(byref(model.struct))
        self._block = np.empty(size + ALIGN, np.uint8)
        self._at = aligned(self._block)
        self.own_bytes = size
        chosen = best_path() if path is None else path
        check(
            "mf_plan_training",
            self._core.mf_plan_training(
                byref(model.struct), trains, tile, chosen, self._at, max(size, 0)
            ),
        )
        self._workspace = int(self._core.mf_gradient_bytes(self._at))

    @property
    def address(self) -> int:
        """Of the mf_plan, for as long as this object lives."""
        return self._at

    def memory(self, recipe: Recipe, samples: int) -> int:
        """Bytes that a call of `train` needs, the plan itself not among them."""
        return int(self._core.mf_train_bytes(self._at, byref(recipe), samples))

    def train(
        self,
        recipe: Recipe,
        x: F32,
        y: NDArray[np.int32],
        seed: int,
        received: F32,
        mask: NDArray[np.uint8],
    ) -> tuple[F32, float, float]:
        """The trained weights, and the mean losses before and after; all arrays contiguous.

        Raises CoreError.
        """
        samples = Samples(x.ctypes.data, y.ctypes.data, len(x))
        weights = np.empty_like(received)
        losses = (c_float * 2)()
        size = self.memory(recipe, len(x))
        check(
            "mf_train",
            self._core.mf_train(
                *(self._at, byref(recipe), byref(samples), seed, received.ctypes.data),
                *(mask.ctypes.data, weights.ctypes.data, losses, MEMORY.at_least(size), size),
            ),
        )
        return weights, losses[0], losses[1]

    def gradient(
        self, x: F32, y: NDArray[np.int32], weights: F32, *, rounded: bool = False
    ) -> tuple[float, F32]:
        """The mean loss and its gradient by all parameters.  Raises CoreError."""
        samples = Samples(x.ctypes.data, y.ctypes.data, len(x))
        gradient = np.empty_like(weights)
        loss = c_float()
        check(
            "mf_gradient",
            self._core.mf_gradient(
                *(self._at, byref(samples), rounded, weights.ctypes.data, gradient.ctypes.data),
                *(byref(loss), MEMORY.at_least(self._workspace), self._workspace),
            ),
        )
        return loss.value, gradient

    def predict(self, x: F32, weights: F32) -> F32:
        """The outputs (n, size of the output tensor).  Raises CoreError."""
        outputs = np.empty((len(x), self._model.values(self._model.struct.output)), np.float32)
        check(
            "mf_predict",
            self._core.mf_predict(
                *(self._at, x.ctypes.data, len(x), weights.ctypes.data, outputs.ctypes.data),
                *(MEMORY.at_least(self._workspace), self._workspace),
            ),
        )
        return outputs
