"""Damaged files: whatever the bytes, a Graph or a ModelError, soon and in little memory."""

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tflite_models.errors import ModelError
from tflite_models.graph import read_graph
from tflite_models.inspect import summarize
from tflite_models.parameters import layout_of, weights_of
from tflite_models.strip import strip

SECONDS = 20.0  # of CPU: milliseconds, unless a length in the file is believed
MEMORY = 4 * 2**20

mutation = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 2**20), st.integers(0, 7)),
    st.tuples(st.just("byte"), st.integers(0, 2**20), st.integers(0, 255)),
    st.tuples(st.just("word"), st.integers(0, 2**20), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("near"), st.integers(0, 2**20), st.integers(-64, 64)),
    st.tuples(st.just("cut"), st.integers(0, 2**20), st.just(0)),
)


def damage(data, kind, at, value):
    """One mutation; `at` is taken modulo the length."""
    at %= len(data)
    if kind == "cut":
        return data[: at + 1]
    if kind in ("word", "near"):  # offsets and lengths of a flatbuffer are aligned words
        at -= at % 4
        old = int.from_bytes(data[at : at + 4], "little")
        new = value if kind == "word" else (old + value) % 2**32
        return data[:at] + new.to_bytes(4, "little") + data[at + 4 :]
    new = data[at] ^ (1 << value) if kind == "flip" else value
    return data[:at] + bytes([new]) + data[at + 1 :]


def read_everything(data):
    graph = read_graph(data)
    weights_of(graph, layout_of(graph))


def refusal(data):
    """The ModelError that reading these bytes gives, if it does; other errors come through."""
    try:
        read_everything(data)
        summarize(data)
        strip(data)
    except ModelError as error:
        return error
    return None


@pytest.mark.parametrize("name", ["conv", "depthwise", "dense"])
@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutations=st.lists(mutation, min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused_with_a_place(fixture_file, name, mutations):
    data = fixture_file(name)
    for kind, at, value in mutations:
        data = damage(data, kind, at, value)
    started = time.process_time()
    error = refusal(data)
    assert error is None or (error.where and error.what)
    assert time.process_time() - started < SECONDS


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutations=st.lists(mutation, min_size=1, max_size=3))
def test_reading_damaged_bytes_allocates_little(fixture_file, mutations):
    data = fixture_file("depthwise")
    for kind, at, value in mutations:
        data = damage(data, kind, at, value)
    tracemalloc.start()
    refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


def test_every_truncation_of_a_file_is_refused(fixture_file):
    data = fixture_file("dense")
    accepted = [n for n in range(len(data)) if refusal(data[:n]) is None]
    # The last table of the file may end in padding or in defaults that nobody reads.
    assert all(length > len(data) - 64 for length in accepted)


def test_every_single_byte_set_to_ones_is_survived(fixture_file):
    data = strip(fixture_file("dense"))
    refused = 0
    for at in range(len(data)):
        try:
            strip(damage(data, "byte", at, 255))
        except ModelError:
            refused += 1
    assert len(data) // 10 < refused < len(data)


def test_tables_that_overlap_run_out_of_budget(fixture_file):
    """Every tensor is made the same table with a long name: quadratic, if allowed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    b = flatbuffers.Builder(1024)
    name = b.CreateString("x" * 4000)
    schema.TensorStart(b)
    schema.TensorAddName(b, name)
    tensor = schema.TensorEnd(b)
    schema.SubGraphStartTensorsVector(b, 1000)
    for _ in range(1000):
        b.PrependUOffsetTRelative(tensor)
    tensors = b.EndVector()
    schema.SubGraphStart(b)
    schema.SubGraphAddTensors(b, tensors)
    subgraph = schema.SubGraphEnd(b)
    schema.ModelStartSubgraphsVector(b, 1)
    b.PrependUOffsetTRelative(subgraph)
    subgraphs = b.EndVector()
    schema.BufferStart(b)
    empty = schema.BufferEnd(b)
    schema.ModelStartBuffersVector(b, 1)
    b.PrependUOffsetTRelative(empty)
    buffers = b.EndVector()
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddSubgraphs(b, subgraphs)
    schema.ModelAddBuffers(b, buffers)
    b.Finish(schema.ModelEnd(b), b"TFL3")
    data = bytes(b.Output())
    with pytest.raises(ModelError, match="damaged"):
        read_graph(data)


def test_the_fixture_itself_is_read(fixture_file):
    read_everything(fixture_file("dense"))
