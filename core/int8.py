"""int8 inference on the compiled core: what a microcontroller computes, byte for byte."""

from __future__ import annotations

import ctypes
import threading
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.int8_calls import Activation, Call, Operand, Program, Stored
from core.int8_lower import lower
from core.int8_structs import ARENA, DERIVED, KINDS, MODEL, Place, Plan, Step, fill
from core.library import library
from tflite_models.errors import ModelError
from tflite_models.graph import Graph, read_graph, unsupported

ALIGN = 64  # MF_ALIGN

_CAUSES = {
    1: "a step lies outside what the plan declares",
    2: "this machine or this build has no such kernel",
    4: "memory is not aligned",
}


class Path(IntEnum):
    """Which instructions the kernels use; all give the same bytes (mf_int8_path)."""

    PORTABLE = 0
    AVX2 = 1
    VNNI = 2


def paths() -> list[Path]:
    """The paths of this machine, the portable one first.  Raises NoCoreError."""
    return [path for path in Path if path <= _core().mf_int8_best_path()]


class Int8Model:
    """A file with one input and one output, ready to run; threads may share it.

    path: None takes the fastest that this machine has.  Raises NoCoreError without the
    compiled core, UnsupportedModel for an operator that it lacks, and ModelError for any
    other file that it cannot run.
    """

    def __init__(self, file: bytes, path: Path | None = None) -> None:
        self._core = _core()
        graph = read_graph(file)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ModelError("graph", "one input and one output are allowed")
        self.input = graph.tensors[graph.inputs[0]]
        self.output = graph.tensors[graph.outputs[0]]
        if self.input.shape[:1] != (1,) or self.output.shape[:1] != (1,):
            raise ModelError("graph", f"from {self.input.shape} to {self.output.shape}: not for 1")
        program = lower(graph)
        for call in program.calls:
            if call.kernel not in KINDS:
                what = "it keeps a state from one input to the next: only compiled C can"
                raise unsupported(graph, graph.operators[call.operator], what)
        self.path = Path(self._core.mf_int8_best_path()) if path is None else path
        self._plan, self._kept = make_plan(graph, program, file)
        self._plan.path = self.path
        _raise(self._core.mf_int8_check(ctypes.byref(self._plan)))
        packed = aligned(self._core.mf_int8_packed_size(ctypes.byref(self._plan)))
        if packed.size:
            _raise(self._core.mf_int8_pack(ctypes.byref(self._plan), packed.ctypes.data))
            self._kept.append(packed)
        self._own = threading.local()

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """The outputs (n, *output) for inputs (n, *input), both in the file's types.

        One call of the core, during which other Python threads run.
        """
        source, target = self.input, self.output
        if x.dtype != source.dtype or x.shape[1:] != source.shape[1:]:
            wanted = f"{source.dtype.name} (n, {', '.join(map(str, source.shape[1:]))})"
            raise ModelError("input", f"{x.dtype.name} {x.shape}: {wanted} is allowed")
        x = np.ascontiguousarray(x)
        out = np.empty((len(x), *target.shape[1:]), target.dtype)
        arena = self._arena()
        plan = ctypes.byref(self._plan)
        _raise(
            self._core.mf_int8_run(plan, x.ctypes.data, out.ctypes.data, len(x), arena.ctypes.data)
        )
        return out

    def _arena(self) -> NDArray[np.uint8]:
        """This thread's; kept, because fresh memory costs more than a small model's run."""
        if not hasattr(self._own, "arena"):
            self._own.arena = aligned(self._plan.arena_size + self._plan.scratch_size)
        arena: NDArray[np.uint8] = self._own.arena
        return arena


def make_plan(graph: Graph, program: Program, file: bytes) -> tuple[Plan, list[Any]]:
    """The plan of a program for the portable path, and the memories that it points into."""
    model = aligned(len(file))
    model[:] = np.frombuffer(file, np.uint8)
    begin = np.frombuffer(file, np.uint8).ctypes.data
    offsets = {p.tensor: p.offset for p in program.memory.places}
    derived = bytearray()

    def place(operand: Operand | None) -> Place:
        match operand:
            case None:
                return Place()
            case Activation(tensor):
                return Place(ARENA, offsets[tensor])
            case Stored(tensor):
                data = graph.tensors[tensor].data
                assert data is not None
                return Place(MODEL, data.ctypes.data - begin)
        derived.extend(bytes(-len(derived) % ALIGN))
        derived.extend(operand.values.tobytes())
        return Place(DERIVED, len(derived) - operand.values.nbytes)

    def step(call: Call) -> Step:
        kind, field = KINDS[call.kernel]
        made = Step(kind=kind, output=place(call.output))
        for i, operand in enumerate(call.inputs):
            made.input[i] = place(operand)
        if call.filter is not None:
            for name in ("weights", "bias", "multipliers", "shifts"):
                setattr(made, name, place(getattr(call.filter, name)))
        fill(getattr(made.parameters, field), call.parameters)
        return made

    steps = (Step * len(program.calls))(*map(step, program.calls))
    constants = aligned(len(derived) + 1)  # of an empty array NumPy tells no address
    constants[: len(derived)] = derived
    plan = Plan(
        steps=steps,
        model=model.ctypes.data,
        derived=constants.ctypes.data,
        step_count=len(steps),
        model_size=model.size,
        derived_size=constants.size,
        arena_size=program.memory.size,
        input=offsets[program.inputs[0].tensor],
        input_size=graph.tensors[graph.inputs[0]].nbytes,
        output=offsets[program.outputs[0].tensor],
        output_size=graph.tensors[graph.outputs[0]].nbytes,
    )
    return plan, [steps, model, constants]


def aligned(size: int) -> NDArray[np.uint8]:
    """Memory for the core, not initialised."""
    raw = np.empty(size + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + size]


def _core() -> ctypes.CDLL:
    core = library()
    core.mf_int8_packed_size.restype = ctypes.c_uint64
    core.mf_int8_pack.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    core.mf_int8_run.argtypes = (
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
        *(ctypes.c_uint32, ctypes.c_void_p),
    )
    sizes = (ctypes.c_uint64 * 2)()
    core.mf_int8_sizes(sizes)
    if tuple(sizes) != (ctypes.sizeof(Step), ctypes.sizeof(Plan)):
        raise AssertionError(f"int8 structs of {tuple(sizes)} bytes: compile the core again")
    return core


def _raise(status: int) -> None:
    if status:
        raise ModelError("plan", _CAUSES.get(status, f"status {status}"))
