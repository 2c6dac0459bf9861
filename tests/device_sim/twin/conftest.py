"""Twins of small files, and graphs written by hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from device_sim.twin import Twin
from tflite_models.graph import Graph, Operator, Quantization, Tensor, read_graph
from tflite_models.parameters import Layout, layout_of, to_float, weights_of

HERE = Path(__file__).parent
FIXTURES = HERE.parents[1] / "fixtures"
UNIT = 1 / 16


class Sketch:
    """A graph written operator by operator: int8 activations of scale 1/16 and zero point 0.

    Weights are given as codes of scale 1.  By default an activation can hold −8 … 7.9375.
    """

    def __init__(self, *shape: int) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.source = self.last = self.activation(*shape)

    def _tensor(self, shape, dtype, scale=None, data=None, zero=0):
        found = scale and Quantization(
            np.array([scale], np.float32), np.array([zero], np.int64), axis=0
        )
        index = len(self.tensors)
        self.tensors.append(
            Tensor(index, f"t{index}", tuple(shape), np.dtype(dtype), found, data, index)
        )
        return index

    def activation(self, *shape, scale=UNIT, zero=0, dtype=np.int8):
        return self._tensor((1, *shape), dtype, scale, zero=zero)

    def constant(self, values, dtype=np.int8, scale=1.0):
        data = np.array(values, dtype)
        return self._tensor(data.shape, dtype, scale, data)

    def add(self, name, *more, to, **options):
        """An operator that reads the last activation (or the one given as `x`) and `more`."""
        first = options.pop("x", self.last)
        out = to if isinstance(to, int) else self.activation(*to)
        self.operators.append(Operator(len(self.operators), name, (first, *more), (out,), options))
        self.last = out
        return out

    def dense(self, weights, to=None, activation="NONE"):
        out = self.activation(len(weights)) if to is None else to
        return self.add(
            "FULLY_CONNECTED",
            self.constant(weights),
            to=out,
            activation=activation,
            keep_num_dims=False,
        )

    @property
    def graph(self):
        return Graph(tuple(self.tensors), tuple(self.operators), (self.source,), (self.last,), 0)

    def twin(self):
        """The twin and the weights of the file."""
        layout = layout_of(self.graph)
        return Twin(self.graph, layout), to_float(layout, weights_of(self.graph, layout))


@dataclass
class Model:
    """A file, what is read from it, and its twin."""

    file: bytes
    graph: Graph
    layout: Layout
    weights: np.ndarray
    twin: Twin

    def inputs(self, rng, samples):
        x = rng.uniform(0, 1, (samples, *self.twin.program.sample)).astype(np.float32)
        return x, rng.integers(0, self.twin.program.classes, samples)


def read_model(path: Path) -> Model:
    file = path.read_bytes()
    graph = read_graph(file)
    layout = layout_of(graph)
    weights = to_float(layout, weights_of(graph, layout))
    return Model(file, graph, layout, weights, Twin(graph, layout))


@pytest.fixture(scope="session")
def sketch():
    return Sketch


@pytest.fixture(scope="session")
def load():
    return read_model


@pytest.fixture(params=["conv", "depthwise", "dense"])
def model(request):
    """A file with random weights; make_models.py says what is in it."""
    return read_model(FIXTURES / f"{request.param}.tflite")


@pytest.fixture(scope="session")
def pruned():
    """A file whose weights are half zeros."""
    return read_model(FIXTURES / "dense.tflite")


@pytest.fixture(scope="session")
def weak():
    """The classifier of digits that make_digits.py trained on the first 90 samples of `digits`."""
    return read_model(HERE / "digits.tflite")


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits (x, y), in the order of make_digits.py."""
    x, y = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(y))
    return (x[order] / 16).reshape(-1, 8, 8, 1).astype(np.float32), y[order]
