"""Everything without weights: the oracle's bytes on every path."""

import numpy as np
import pytest

from core.int8 import Int8Model, paths
from tests.core.oracle_models import Step, activation, constant, make_file


def int32(*values):
    return constant(np.array(values, np.int32), scale=None)


def coded(rng, spread=3.0):
    """A random scale within 2^±spread of 0.05 and a random zero point."""
    return {
        "scale": 0.05 * 2.0 ** float(rng.uniform(-spread, spread)),
        "zero": int(rng.integers(-128, 128)),
    }


def codes(rng, shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 3, 5, 13), (1, 3, 5, 13)),
        ((1, 3, 5, 13), (13,)),
        ((1, 3, 5, 13), (1, 3, 1, 13)),
        ((1, 70), ()),
        ((1, 1, 5, 1), (1, 4, 1, 3)),
    ],
)
def test_arithmetic_with_a_constant_gives_the_oracles_bytes(
    kind, seed, left, right, same_as_oracle
):
    rng = np.random.default_rng(seed)
    tensors = [
        activation(left, **coded(rng)),
        constant(codes(rng, right), **coded(rng)),
        activation(np.broadcast_shapes(left, right), **coded(rng)),
    ]
    order = [0, 1] if seed % 2 else [1, 0]
    same_as_oracle(
        make_file(tensors, [Step(kind, order, 2, {"fusedActivationFunction": seed % 4})])
    )


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("seed", range(12))
def test_arithmetic_of_two_activations_gives_the_oracles_bytes(kind, seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    shape = (1, 5, 7, (1, 3, 16, 33)[seed % 4])
    tensors = [activation(shape, **coded(rng)) for _ in range(3)]
    steps = [
        Step("QUANTIZE", [0], 1),
        Step(kind, [0, 1] if seed % 2 else [1, 0], 2, {"fusedActivationFunction": seed % 4}),
    ]
    same_as_oracle(make_file(tensors, steps))


@pytest.mark.parametrize(
    ("axes", "width"),
    [((1, 2), 6), ((1, 2), 1), ((-1,), 6), ((2,), 6), ((1,), 6), ((3, 2), 6), ((1, 3), 1)],
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_mean_gives_the_oracles_bytes(axes, width, keep, same_as_oracle):
    rng = np.random.default_rng(len(axes) + width)
    shape = (1, 5, width, 19)
    kept = [1 if i in {a % 4 for a in axes} else n for i, n in enumerate(shape)]
    target = kept if keep else [n for i, n in enumerate(shape) if i not in {a % 4 for a in axes}]
    for same in (True, False):
        source = coded(rng)
        tensors = [
            activation(shape, **source),
            int32(*axes),
            activation(tuple(target), **(source if same else coded(rng, 1.0))),
        ]
        same_as_oracle(make_file(tensors, [Step("MEAN", [0, 1], 2, {"keepDims": keep})]))


@pytest.mark.parametrize("columns", [1, 2, 10, 12, 300])
@pytest.mark.parametrize("scale", [1e-6, 0.004, 0.1, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_a_softmax_gives_the_oracles_bytes(columns, scale, beta, same_as_oracle):
    tensors = [
        activation((1, 3, columns), scale=scale, zero=5),
        activation((1, 3, columns), scale=1 / 256, zero=-128),
    ]
    same_as_oracle(make_file(tensors, [Step("SOFTMAX", [0], 1, {"beta": beta})]))


@pytest.mark.parametrize("columns", [512, 1000, 4096])
def test_a_softmax_over_more_equal_codes_than_an_output_can_tell_apart_gives_zeros(columns):
    """The oracle stops the process here: its division ends at 31 bits."""
    tensors = [
        activation((1, columns), scale=0.1, zero=5),
        activation((1, columns), scale=1 / 256, zero=-128),
    ]
    file = make_file(tensors, [Step("SOFTMAX", [0], 1, {"beta": 1.0})])
    for path in paths():
        assert (Int8Model(file, path).run(np.zeros((1, columns), np.int8)) == -128).all()


@pytest.mark.parametrize(
    ("kind", "scale", "zero"), [("LOGISTIC", 1 / 256, -128), ("TANH", 1 / 128, 0)]
)
@pytest.mark.parametrize("seed", range(24))
def test_a_table_holds_the_oracles_bytes_for_every_code(kind, scale, zero, seed, all_codes):
    rng = np.random.default_rng(seed)
    tensors = [
        activation((1, 256), scale=2.0 ** float(rng.uniform(-12, 2)), zero=coded(rng)["zero"]),
        activation((1, 256), scale=scale, zero=zero),
    ]
    all_codes(make_file(tensors, [Step(kind, [0], 1)]))


@pytest.mark.parametrize("kind", ["QUANTIZE", "RELU", "RELU6"])
@pytest.mark.parametrize("seed", range(12))
def test_a_change_of_scale_gives_the_oracles_bytes_for_every_code(kind, seed, all_codes):
    rng = np.random.default_rng(seed)
    tensors = [activation((1, 256), **coded(rng)), activation((1, 256), **coded(rng))]
    all_codes(make_file(tensors, [Step(kind, [0], 1)]))


@pytest.mark.parametrize("seed", range(6))
def test_unsigned_codes_become_signed_ones_and_back_as_the_oracles_do(seed, same_as_oracle):
    rng = np.random.default_rng(seed)
    outside = {"dtype": "uint8", "zero": int(rng.integers(0, 256))}
    scales = 0.05 * 2.0 ** rng.uniform(-1, 1, 3) if seed else (0.05,) * 3
    tensors = [
        activation((1, 256), scale=scales[0], **outside),
        activation((1, 256), scale=scales[1], zero=outside["zero"] - 128),
        activation((1, 256), scale=scales[2], **outside),
    ]
    file = make_file(tensors, [Step("QUANTIZE", [0], 1), Step("QUANTIZE", [1], 2)])
    same_as_oracle(file, np.arange(256).astype(np.uint8)[None])


def test_floats_become_codes_and_codes_floats_as_the_oracles_do(same_as_oracle):
    real = {"scale": None, "dtype": "float32"}
    tensors = [
        activation((1, 500), **real),
        activation((1, 500), scale=0.37, zero=-3),
        activation((1, 500), **real),
    ]
    file = make_file(tensors, [Step("QUANTIZE", [0], 1), Step("DEQUANTIZE", [1], 2)])
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 40, 200), np.arange(-150, 150) * 0.37 / 2])
    same_as_oracle(file, np.float32(x)[None])


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_a_concatenation_gives_the_oracles_bytes(axis, same_as_oracle):
    rng = np.random.default_rng(axis % 4)
    shape, side = (1, 4, 3, 5), coded(rng)
    extra = [2 if i == axis % 4 else n for i, n in enumerate(shape)]
    target = [2 * n + 2 if i == axis % 4 else n for i, n in enumerate(shape)]
    tensors = [
        activation(shape, **side),
        constant(codes(rng, extra), **side),
        activation(shape, **side),
        activation(tuple(target), **side),
    ]
    steps = [
        Step("RELU6", [0], 2),
        Step("CONCATENATION", [2, 1, 0], 3, {"axis": axis}),
    ]
    same_as_oracle(make_file(tensors, steps))


@pytest.mark.parametrize("value", [None, 77])
def test_a_padding_gives_the_oracles_bytes(value, same_as_oracle):
    pads = constant(np.array([[0, 0], [1, 2], [0, 3], [2, 0]], np.int32), scale=None)
    side = {"scale": 0.1, "zero": -11}
    tensors = [activation((1, 4, 3, 5), **side), pads, activation((1, 7, 6, 7), **side)]
    if value is None:
        same_as_oracle(make_file(tensors, [Step("PAD", [0, 1], 2)]))
    else:
        tensors.append(constant(np.array(value, np.int8), **side))
        same_as_oracle(make_file(tensors, [Step("PADV2", [0, 1, 3], 2)]))


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 2, 3), (0, 3, 2, 1)])
def test_a_transposition_gives_the_oracles_bytes(order, same_as_oracle):
    shape = (1, 4, 3, 5)
    side = {"scale": 0.1, "zero": -11}
    target = tuple(shape[i] for i in order)
    tensors = [activation(shape, **side), int32(*order), activation(target, **side)]
    same_as_oracle(make_file(tensors, [Step("TRANSPOSE", [0, 1], 2)]))


@pytest.mark.parametrize(
    ("begin", "end", "stride", "masks"),
    [
        ((0, 1, 0, 2), (1, 4, 3, 5), (1, 1, 1, 1), {}),
        ((0, 0, 0, 4), (1, 4, 3, 1), (1, 2, 2, -1), {}),
        ((0, -3, 0, 0), (1, -1, 0, 9), (1, 1, 1, 3), {"endMask": 4}),
        ((0, 3, 1, 0), (0, 0, 2, 5), (1, -1, 1, 1), {"beginMask": 1, "endMask": 3}),
        ((0, 2, 0, 0), (1, 3, 3, 5), (1, 1, 1, 1), {"shrinkAxisMask": 2}),
    ],
)
def test_a_slice_gives_the_oracles_bytes(begin, end, stride, masks, same_as_oracle):
    shape, side = (1, 4, 3, 5), {"scale": 0.1, "zero": -11}
    taken = np.empty(shape)[
        tuple(
            slice(
                None if masks.get("beginMask", 0) >> i & 1 else b,
                None if masks.get("endMask", 0) >> i & 1 else e,
                s,
            )
            for i, (b, e, s) in enumerate(zip(begin, end, stride, strict=True))
        )
    ].shape
    shrunk = tuple(n for i, n in enumerate(taken) if not masks.get("shrinkAxisMask", 0) >> i & 1)
    tensors = [
        activation(shape, **side),
        *(int32(*values) for values in (begin, end, stride)),
        activation(shrunk, **side),
    ]
    options = {"beginMask": 0, "endMask": 0} | masks
    same_as_oracle(make_file(tensors, [Step("STRIDED_SLICE", [0, 1, 2, 3], 4, options)]))


def test_a_shape_that_is_computed_is_not(same_as_oracle):
    side = {"scale": 0.1, "zero": -11}
    whole = {"scale": None, "dtype": "int32"}
    tensors = [
        activation((1, 4, 6), **side),
        activation((1, 4, 6), **side),
        activation((3,), **whole),
        int32(1, 24, 0),
        activation((3,), **whole),
        activation((1, 24), **side),
        activation((1, 24), **side),
    ]
    steps = [
        Step("RELU6", [0], 1),
        Step("SHAPE", [1], 2, {"outType": 2}),
        Step("MUL", [2, 3], 4),
        Step("RESHAPE", [1, 4], 5),
        Step("RELU6", [5], 6),
    ]
    from core.int8_lower import lower
    from tflite_models.graph import read_graph

    calls = lower(read_graph(make_file(tensors, steps))).calls
    assert [call.kernel for call in calls] == ["requantize", "requantize"]
    del steps[1:3]
    steps[1] = Step("RESHAPE", [1, 3], 5)
    tensors[3] = int32(1, 24)
    same_as_oracle(make_file(tensors, steps))


def test_reshaped_tensors_are_not_copied(same_as_oracle):
    side = {"scale": 0.1, "zero": -11}
    tensors = [
        activation((1, 4, 3, 5), **side),
        int32(1, 60),
        activation((1, 60), **side),
        activation((1, 60), **side),
        int32(1, 60, 1),
        activation((1, 60, 1), **side),
    ]
    steps = [
        Step("RESHAPE", [0, 1], 2, {"newShape": [1, 60]}),
        Step("RELU6", [2], 3),
        Step("RESHAPE", [3, 4], 5, {"newShape": [1, 60, 1]}),
    ]
    file = make_file(tensors, steps)
    same_as_oracle(file)
    from core.int8_lower import lower
    from tflite_models.graph import read_graph

    assert [call.kernel for call in lower(read_graph(file)).calls] == ["requantize"]
