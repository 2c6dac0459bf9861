"""What wide paths skip, pruned weights and gradients that are zero, changes no bit of a result.

The portable path multiplies by every zero.
"""

import math

import numpy as np
import pytest

from core.train import Kind, Model, Path, Plan, Recipe, Shape, Step, Tensor, Window, paths

WIDE = [path for path in paths() if path is not Path.PORTABLE]
TILE = 32
SAMPLES = 37  # neither whole batches nor whole vectors
LIMITS, RELU = (-1.5, 3.0, 0.125), (0.0, 3.0, 0.125)
FREE = (-math.inf, math.inf, 0.0)

# Input, output, kernel, stride and padding before of a convolution; "same" and "valid", one
# row and images, inputs that nobody sees, positions in several blocks, and one vector or more.
SHAPES = {
    "one row, same": ((1, 30, 12), (1, 30, 20), (1, 5), (1, 1), (0, 2)),
    "on its side": ((41, 1, 6), (37, 1, 36), (5, 1), (1, 1), (0, 0)),
    "strides": ((1, 64, 6), (1, 28, 36), (1, 9), (1, 2), (0, 0)),
    "an image": ((9, 10, 5), (9, 10, 18), (3, 3), (1, 1), (1, 1)),
    "strides of an image": ((11, 13, 4), (4, 6, 9), (3, 2), (3, 2), (1, 0)),
    "padding that is not even": ((1, 12, 8), (1, 12, 40), (1, 4), (1, 1), (0, 1)),
    "more padding than taps": ((1, 12, 8), (1, 16, 24), (1, 3), (1, 1), (0, 4)),
    "many channels": ((1, 15, 72), (1, 15, 36), (1, 5), (1, 1), (0, 2)),
    "many outputs": ((1, 16, 30), (1, 16, 85), (1, 5), (1, 1), (0, 2)),
    "a wide row of taps": ((1, 20, 40), (1, 14, 17), (1, 7), (1, 1), (0, 0)),
}


class Network:
    """A convolution to the shape, the one under test, a max pool, and a dense layer of 3."""

    def __init__(self, shape, rng, pruned=0.5):
        source, target, kernel, stride, pad = shape
        taps = math.prod(kernel) * source[2]
        pooled = (*(max(side // 2, 1) for side in target[:2]), target[2])
        pool = tuple(min(side, 2) for side in target[:2])
        sizes = [source[2] ** 2, source[2], taps * target[2], target[2], 3 * math.prod(pooled), 3]
        at = np.cumsum([0, *sizes]).tolist()
        shapes = (source, source, target, pooled, (1, 1, 3))
        limits = (FREE, LIMITS, RELU, FREE, FREE)
        tensors = [Tensor(Shape(*s), *held) for s, held in zip(shapes, limits, strict=True)]
        steps = [
            Step(Kind.CONV, (0, 0), 1, at[0], at[1], Window(1, 1, 1, 1, 1, 1, 0, 0)),
            Step(Kind.CONV, (1, 0), 2, at[2], at[3], Window(*kernel, *stride, 1, 1, *pad)),
            Step(Kind.MAX_POOL, (2, 0), 3, -1, -1, Window(*pool, *pool, 1, 1, 0, 0)),
            Step(Kind.DENSE, (3, 0), 4, at[4], at[5]),
        ]
        self.model = Model(tensors, steps, at[-1], (0, 4))
        self.mask = np.ones(at[-1], np.uint8)
        self.kernel = self.mask[at[2] : at[3]].reshape(target[2], -1)  # rows of outputs
        self.kernel[:] = rng.random(self.kernel.shape) >= pruned
        self.weights = (0.3 * rng.normal(size=at[-1]) * self.mask).astype(np.float32)
        self.weights[at[3] : at[4]] -= 0.5 * math.sqrt((1 - pruned) * taps)  # most stay below 0
        self.x = rng.normal(size=(SAMPLES, math.prod(source))).astype(np.float32)
        self.y = rng.integers(0, 3, SAMPLES).astype(np.int32)

    def trained(self, path, recipe, trains=b"\3\3\0\3", tile=TILE):
        """The weights and losses of a training."""
        plan = Plan(self.model, trains, tile, path)
        done = plan.train(recipe, self.x, self.y, 3, self.weights * self.mask, self.mask)
        return done[0].tobytes(), *done[1:]


def assert_equal_on_all_paths(net, recipe=None, **how):
    recipe = recipe or Recipe(1, 16, 0.05)
    wanted = net.trained(Path.PORTABLE, recipe, **how)
    assert np.frombuffer(wanted[0], np.float32).tobytes() != net.weights.tobytes()
    for path in paths():
        assert net.trained(path, recipe, **how) == wanted, path


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pruned_convolutions_train_to_the_bits_of_whole_ones(shape, rng):
    assert_equal_on_all_paths(Network(shape, rng))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_and_predictions_have_them_too(shape, rng):
    net = Network(shape, rng, pruned=0.7)
    plans = [Plan(net.model, b"\3\3\0\3", TILE, path) for path in paths()]
    gradients = {plan.gradient(net.x, net.y, net.weights)[1].tobytes() for plan in plans}
    outputs = {plan.predict(net.x, net.weights).tobytes() for plan in plans}
    assert len(gradients) == len(outputs) == 1


@pytest.mark.parametrize("batch", [1, 7, 10, 16, 17, 33])
def test_batches_of_any_size_fill_some_lanes_and_not_others(batch, rng):
    assert_equal_on_all_paths(Network(SHAPES["one row, same"], rng), Recipe(1, batch, 0.05))


@pytest.mark.parametrize("pruned", [0.0, 0.95, 1.0])
def test_layers_without_zeros_and_with_nothing_else_train_alike(pruned, rng):
    assert_equal_on_all_paths(Network(SHAPES["on its side"], rng, pruned=pruned))


def test_outputs_and_inputs_of_zeros_only_have_empty_lists(rng):
    net = Network(SHAPES["one row, same"], rng)
    net.kernel[[0, 7, 19]] = 0
    net.kernel.reshape(20, 5, 12)[:, :, [0, 4, 11]] = 0
    assert_equal_on_all_paths(net)


def test_weights_that_are_zero_and_not_pruned_learn(rng):
    net = Network(SHAPES["one row, same"], rng)
    zero = rng.random(net.weights.shape) < 0.2
    net.weights[zero] = 0.0
    assert_equal_on_all_paths(net)
    trained = np.frombuffer(net.trained(None, Recipe(1, 16, 0.05))[0], np.float32)
    learns = zero & (net.mask != 0)
    assert (trained[learns] != 0).mean() > 0.5
    assert not trained[net.mask == 0].any()


@pytest.mark.parametrize("trains", [b"\0\3\0\3", b"\3\0\0\3", b"\3\2\0\0", b"\0\1\0\0"])
def test_parts_of_a_network_train_alike(trains, rng):
    assert_equal_on_all_paths(Network(SHAPES["many channels"], rng), trains=trains)


def test_so_do_held_codes_momentum_and_all_else_that_a_recipe_has(rng):
    net = Network(SHAPES["one row, same"], rng)
    recipe = Recipe(2, 10, 0.01, 0.5, 0.01, 0.1, 0.5, 0.0, 1)
    assert_equal_on_all_paths(net, recipe)


def test_a_gradient_that_joins_another_is_added_to_it(rng):
    """Two convolutions read one tensor."""
    net = Network(SHAPES["one row, same"], rng)
    tensors, steps = list(net.model.tensors), list(net.model.steps)
    tensors += [Tensor(Shape(1, 30, 20), *FREE), Tensor(Shape(1, 30, 20), *FREE)]
    first = steps[1]
    steps[2].inputs[0] = 6
    steps.insert(2, Step(Kind.CONV, (1, 0), 5, first.weight, first.bias, first.window))
    steps.insert(3, Step(Kind.ADD, (2, 5), 6, -1, -1))
    net.model = Model(tensors, steps, net.model.struct.parameter_count, (0, 4))
    assert_equal_on_all_paths(net, trains=b"\3\3\3\0\0\3")


@pytest.mark.parametrize("path", WIDE)
def test_what_is_pruned_is_not_multiplied_at_all(path, rng):
    """Else an infinite input behind pruned weights would give what is not a number."""
    net = Network(SHAPES["on its side"], rng)
    last = Model(
        [Tensor(Shape(*shape), *FREE) for shape in ((41, 1, 6), (37, 1, 36))],
        [Step(Kind.CONV, (0, 0), 1, 0, -1, Window(5, 1, 1, 1, 1, 1, 0, 0))],
        *(5 * 6 * 36, (0, 1)),
    )
    kernel = rng.normal(size=(36, 5, 6)).astype(np.float32)
    kernel *= rng.random(kernel.shape) < 0.4
    kernel[:, :, 2] = 0
    x = net.x.reshape(SAMPLES, 41, 6).copy()
    x[:, :, 2] = np.inf
    outputs = [
        Plan(last, b"\0", TILE, p).predict(x[:TILE].reshape(TILE, -1), kernel.ravel())
        for p in (path, Path.PORTABLE)
    ]
    assert np.isfinite(outputs[0]).all()
    assert np.isnan(outputs[1]).all()
