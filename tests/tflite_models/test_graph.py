"""Reading a file: what a Graph holds, and what is refused."""

import numpy as np
import pytest

from tflite_models.errors import ModelError, UnsupportedModel
from tflite_models.graph import read_graph, unsupported


def test_the_operators_of_the_conv_fixture_are_read_in_order(fixture_file):
    graph = read_graph(fixture_file("conv"))
    assert [o.name for o in graph.operators] == [
        "CONV_2D",
        "MAX_POOL_2D",
        "CONV_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
    ]
    assert dict(graph.operators[2].options) == {
        "stride_h": 2,
        "stride_w": 2,
        "padding": "SAME",
        "dilation_h": 1,
        "dilation_w": 1,
        "activation": "RELU6",
    }
    assert graph.operators[1].options["filter_h"] == 2


def test_inputs_and_outputs_are_int8_with_one_scale(file):
    graph = read_graph(file)
    for index in graph.inputs + graph.outputs:
        tensor = graph.tensors[index]
        assert tensor.dtype == np.int8
        assert tensor.quantization.scale.shape == tensor.quantization.zero_point.shape == (1,)
        assert tensor.data is None


def test_constants_are_read_only_views_of_the_file(fixture_file):
    graph = read_graph(fixture_file("conv"))
    weight = graph.tensors[graph.operators[0].inputs[1]]
    assert weight.shape == weight.data.shape == (4, 3, 3, 1)
    assert weight.quantization.scale.shape == (4,)
    with pytest.raises(ValueError, match="read-only"):
        weight.data[0] = 1


def test_arrays_of_a_bytearray_write_through_to_it(fixture_file):
    data = bytearray(fixture_file("conv"))
    graph = read_graph(data)
    graph.tensors[graph.operators[0].inputs[1]].data[...] = 7
    again = read_graph(bytes(data))
    assert (again.tensors[graph.operators[0].inputs[1]].data == 7).all()


def test_reading_agrees_with_the_stock_interpreter(file):
    from ai_edge_litert.interpreter import Interpreter

    graph = read_graph(file)
    stock = {d["index"]: d for d in Interpreter(model_content=file).get_tensor_details()}
    for tensor in graph.tensors:
        assert tensor.name == stock[tensor.index]["name"]
        assert list(tensor.shape) == stock[tensor.index]["shape"].tolist()
        assert tensor.dtype == stock[tensor.index]["dtype"]
        scales = stock[tensor.index]["quantization_parameters"]["scales"]
        assert tensor.quantization is None or np.array_equal(tensor.quantization.scale, scales)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 100, b"PK\x03\x04" + b"x" * 60])
def test_what_is_not_a_model_file_is_refused_as_such(data):
    with pytest.raises(ModelError, match=r"file: not a \.tflite file"):
        read_graph(data)


def test_a_root_beyond_the_end_is_refused_with_its_place(fixture_file):
    data = fixture_file("dense")
    with pytest.raises(ModelError, match=r"^file: "):
        read_graph(b"\xff\xff\xff\x7f" + data[4:])


def test_a_truncated_constant_is_refused_by_tensor(fixture_file):
    data = bytearray(fixture_file("dense"))
    graph = read_graph(data)
    weight = graph.tensors[graph.operators[0].inputs[1]]
    at = weight.data.ctypes.data - np.frombuffer(data, np.uint8).ctypes.data - 4
    assert int.from_bytes(data[at : at + 4], "little") == 60
    data = bytes(data[:at]) + (59).to_bytes(4, "little") + bytes(data[at + 4 :])
    with pytest.raises(ModelError, match=rf"^tensor {weight.index}: 59 bytes of data"):
        read_graph(data)


@pytest.mark.parametrize("lengths", [(1, 2**31 - 1), (0, 2**31 - 1), (2**16, 2**15)])
def test_a_tensor_of_more_than_2_to_28_bytes_is_refused_even_if_it_is_empty(fixture_file, lengths):
    data = fixture_file("dense")
    graph = read_graph(data)
    shape = graph.tensors[graph.operators[0].inputs[1]].shape
    before = np.array([2, *shape], "<i4").tobytes()
    assert data.count(before) == 1
    with pytest.raises(ModelError, match=r"^tensor \d+: shape \(.*\): more than 268435456 bytes"):
        read_graph(data.replace(before, np.array([2, *lengths], "<i4").tobytes()))


def test_an_unsupported_operator_is_named_with_its_tensors(fixture_file):
    graph = read_graph(fixture_file("dense"))
    error = unsupported(graph, graph.operators[2], "no softmax here")
    assert isinstance(error, UnsupportedModel)
    assert (error.operator, error.index) == ("SOFTMAX", 2)
    assert error.tensors[-1] == graph.tensors[graph.outputs[0]].name
    assert str(error).startswith("operator 2 SOFTMAX (")
    assert str(error).endswith("): no softmax here")


def test_the_public_models_are_read(public_file):
    names = ["kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "ad01_int8"]
    counts = [len(read_graph(public_file(name)).operators) for name in names]
    assert counts == [13, 31, 16, 10]
