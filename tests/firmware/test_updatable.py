"""Constants in two slots: the newer whole one is used, whatever was torn."""

import ctypes

import numpy as np
import pytest

from core.int8 import Int8Model
from firmware.compiler.compile import compile_model
from firmware.host import HostCompiler
from tests.conftest import ROOT
from tests.firmware.conftest import COMPILERS
from tflite_models.graph import read_graph

FILE = (ROOT / "tflite_models/digits/model.tflite").read_bytes()
LAYOUTS = {"plain": "rows", "dsp": "dsp"}


def taught(file):
    """The file with every weight moved a little, as a round of learning does."""
    data = bytearray(file)
    graph = read_graph(data)
    for operator in graph.operators:
        if operator.name in ("CONV_2D", "FULLY_CONNECTED"):
            weights = graph.tensors[operator.inputs[1]].data
            weights[...] = np.clip(weights.astype(int) // 2 + 1, -127, 127)
    return bytes(data)


class Slots:
    """The compiled model, and two pieces of memory for its constants."""

    def __init__(self, path, kernels, folder):
        self.first, second = (
            compile_model(FILE, "digits", 1),
            compile_model(taught(FILE), "digits", 2),
        )
        for name, text in self.first.files.items():
            (folder / name).write_text(text)
        library = folder / "model.so"
        compiler = HostCompiler(COMPILERS[path].program, COMPILERS[path].flags)
        sources = [folder / "model.c", folder / "weights.c"]
        compiler.run("-shared", f"-I{folder}", *sources, kernels[path], "-o", library)
        self.library = ctypes.CDLL(str(library))
        self.library.digits_input.restype = self.library.digits_output.restype = ctypes.c_void_p
        self.old = self.first.updates[LAYOUTS[path]]
        self.new = second.updates[LAYOUTS[path]]

    def run(self, a, b, x):
        """What the model gives for x with these slots; None if it takes neither."""
        buffers = [np.frombuffer(slot, np.uint8).copy() for slot in (a, b)]
        if not self.library.digits_use(*(ctypes.c_void_p(m.ctypes.data) for m in buffers)):
            return None
        ctypes.memmove(self.library.digits_input(), x.ctypes.data, x.nbytes)
        self.library.digits_run()
        return np.frombuffer(ctypes.string_at(self.library.digits_output(), 10), np.int8)


@pytest.fixture(params=LAYOUTS)
def slots(request, kernels, tmp_path):
    return Slots(request.param, kernels, tmp_path)


@pytest.fixture
def x(rng):
    return rng.integers(-128, 128, (8, 8, 1)).astype(np.int8)


def outputs(file, x):
    return Int8Model(file).run(x[None])[0]


def test_the_newer_slot_is_used_wherever_it_lies(slots, x):
    wanted = outputs(taught(FILE), x)
    assert (slots.run(slots.old, slots.new, x) == wanted).all()
    assert (slots.run(slots.new, slots.old, x) == wanted).all()
    assert (wanted != outputs(FILE, x)).any()


def test_a_torn_update_falls_back_to_the_other_slot(slots, x):
    wanted = outputs(FILE, x)
    for written in (0, 4, 19, 20, len(slots.new) // 2, len(slots.new) - 1):
        torn = slots.new[:written] + b"\xff" * (len(slots.new) - written)
        assert (slots.run(slots.old, torn, x) == wanted).all()
        assert (slots.run(torn, slots.old, x) == wanted).all()


def test_one_wrong_bit_anywhere_is_noticed(slots, x, rng):
    wanted = outputs(FILE, x)
    for bit in rng.integers(0, 8 * len(slots.new), 40):
        wrong = bytearray(slots.new)
        wrong[bit // 8] ^= 1 << bit % 8
        assert (slots.run(slots.old, bytes(wrong), x) == wanted).all()


def test_an_update_for_another_model_is_not_taken(slots, x):
    other = compile_model((ROOT / "tflite_models/fashion/model.tflite").read_bytes(), "digits", 9)
    update = other.updates["rows"][: len(slots.old)]
    assert (slots.run(slots.old, update, x) == outputs(FILE, x)).all()


def test_without_a_whole_slot_nothing_runs(slots, x):
    erased = b"\xff" * len(slots.old)
    assert slots.run(erased, erased, x) is None
