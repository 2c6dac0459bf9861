"""Stripping: fewer bytes, the same model."""

import gzip

import numpy as np
import pytest

from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, patch, requantize, to_float, weights_of
from tflite_models.strip import strip

PUBLIC = ["kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "ad01_int8"]


def gzipped(data):
    return len(gzip.compress(data, 9, mtime=0))


def outputs(file, resolver, n=8):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    stock = Interpreter(
        model_content=file,
        num_threads=1,
        experimental_op_resolver_type=getattr(OpResolverType, resolver),
    )
    stock.allocate_tensors()
    source, target = stock.get_input_details()[0], stock.get_output_details()[0]
    rng = np.random.default_rng(0)
    out = []
    for _ in range(n):
        stock.set_tensor(source["index"], rng.integers(-128, 128, source["shape"], dtype=np.int8))
        stock.invoke()
        out.append(stock.get_tensor(target["index"]).tobytes())
    return out


@pytest.mark.parametrize("resolver", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
def test_a_stripped_file_gives_the_same_outputs(file, resolver):
    assert outputs(strip(file), resolver) == outputs(file, resolver)
    assert len(set(outputs(file, resolver))) > 1


@pytest.mark.parametrize("name", PUBLIC)
def test_a_stripped_public_model_gives_the_same_outputs(public_file, name):
    file = public_file(name)
    assert outputs(strip(file), "AUTO", 3) == outputs(file, "AUTO", 3)


def test_stripping_again_changes_nothing(file):
    assert strip(strip(file)) == strip(file)


def test_small_files_shrink_by_a_third_and_their_gzip_by_a_quarter(file):
    assert len(strip(file)) <= 2 / 3 * len(file)
    assert gzipped(strip(file)) <= 3 / 4 * gzipped(file)


@pytest.mark.parametrize(
    ("name", "raw", "packed"),
    [
        ("kws_ref_model", 33_000, 29_400),
        ("vww_96_int8", 253_100, 71_200),
        ("pretrainedResnet_quant", 86_300, 77_600),
        ("ad01_int8", 273_900, 186_700),
    ],
)
def test_public_models_shrink_to_what_was_measured(public_file, name, raw, packed):
    stripped = strip(public_file(name))
    assert len(stripped) <= raw
    assert gzipped(stripped) <= packed


def test_operators_tensors_and_parameters_keep_their_places(file):
    before, after = read_graph(file), read_graph(strip(file))
    assert after.operators == before.operators
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    assert layout_of(after).slots == layout_of(before).slots
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        assert (new.data is None) == (old.data is None)
        assert new.data is None or np.array_equal(new.data, old.data)
        assert (new.quantization is None) == (old.quantization is None)
        if new.quantization is not None:
            assert np.array_equal(new.quantization.scale, old.quantization.scale)
            assert np.array_equal(new.quantization.zero_point, old.quantization.zero_point)


def test_only_inputs_and_outputs_keep_their_names(file):
    before, after = read_graph(file), read_graph(strip(file))
    ports = set(after.inputs + after.outputs)
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert new.name == (old.name if new.index in ports else "")


def test_constants_are_aligned_as_the_schema_asks(file):
    stripped = strip(file)
    base = np.frombuffer(stripped, np.uint8).ctypes.data
    for tensor in read_graph(stripped).tensors:
        assert tensor.data is None or (tensor.data.ctypes.data - base) % 16 == 0


def test_weights_that_share_a_buffer_are_separated(fixture_file):
    data = bytearray(fixture_file("depthwise"))
    _share_buffer(data, *_biases(data)[:2])
    with pytest.raises(ModelError, match="shares its bytes"):
        layout_of(read_graph(bytes(data)))

    stripped = strip(bytes(data))
    graph = read_graph(stripped)
    layout = layout_of(graph)
    weights = weights_of(graph, layout)
    master = to_float(layout, weights) + 0.5
    moved = requantize(layout, master.astype(np.float64), weights.scales)
    again = read_graph(patch(stripped, layout, moved))
    assert np.array_equal(weights_of(again, layout).codes, moved.codes)
    assert outputs(stripped, "BUILTIN_REF") == outputs(bytes(data), "BUILTIN_REF")


def test_damaged_bytes_are_refused(fixture_file):
    with pytest.raises(ModelError):
        strip(fixture_file("conv")[:200])


def _biases(data):
    graph = read_graph(bytes(data))
    return [o.inputs[2] for o in graph.operators if o.name.endswith("CONV_2D")]


def _share_buffer(data, one, other):
    """Make tensor `other` use the buffer of tensor `one`."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.Model.GetRootAs(data).Subgraphs(0).Tensors(other)
    at = tensor._tab.Pos + tensor._tab.Offset(8)  # field `buffer`
    data[at : at + 4] = read_graph(bytes(data)).tensors[one].buffer.to_bytes(4, "little")
