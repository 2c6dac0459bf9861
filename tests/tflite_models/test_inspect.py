"""What a file asks of a device, against figures that others published and by hand."""

import subprocess
import sys

import pytest

from tflite_models.graph import read_graph
from tflite_models.inspect import summarize
from tflite_models.memory import plan_memory


@pytest.mark.parametrize(
    ("name", "size", "weights", "zeros", "macs", "peak"),
    [
        ("kws_ref_model", 53_936, 22_016, 0.8, 2_656_768, 16_000),
        ("vww_96_int8", 333_288, 208_112, 82.8, 7_489_664, 55_296),
        ("pretrainedResnet_quant", 98_496, 77_360, 1.0, 12_501_632, 49_152),
        ("ad01_int8", 276_976, 264_192, 9.3, 264_192, 768),
    ],
)
def test_the_public_models_have_their_known_figures(
    public_file, name, size, weights, zeros, macs, peak
):
    summary = summarize(public_file(name))
    assert (summary.flash_bytes, summary.weights, summary.macs) == (size, weights, macs)
    assert round(100 * summary.sparsity, 1) == zeros
    assert summary.memory.bound == peak
    assert summary.peak_ram == peak, "the plan reaches the bound"


def test_the_macs_of_the_conv_fixture_are_those_counted_by_hand(fixture_file):
    summary = summarize(fixture_file("conv"))
    assert [(o.name, o.output, o.macs) for o in summary.operators] == [
        ("CONV_2D", (1, 6, 6, 4), 6 * 6 * 4 * 3 * 3 * 1),
        ("MAX_POOL_2D", (1, 3, 3, 4), 0),
        ("CONV_2D", (1, 2, 2, 6), 2 * 2 * 6 * 3 * 3 * 4),
        ("RESHAPE", (1, 24), 0),
        ("FULLY_CONNECTED", (1, 5), 24 * 5),
    ]
    assert summary.macs == 1296 + 864 + 120


def test_a_depthwise_output_reads_one_channel(fixture_file):
    macs = [o.macs for o in summarize(fixture_file("depthwise")).operators]
    assert macs[1] == 9 * 7 * 4 * 3 * 3


def test_weights_biases_and_bytes_are_counted_apart(fixture_file):
    summary = summarize(fixture_file("dense"))
    assert (summary.weights, summary.parameters) == (90, 103)
    assert summary.weight_bytes == 90 + 4 * 13
    assert (summary.zeros, summary.sparsity) == (45, 0.5)
    weights = [t for t in summary.tensors if t.role == "weight"]
    assert [t.shape for t in weights] == [(3, 10), (10, 6)]
    assert sum(t.zeros for t in weights) == 45
    assert weights[0].sparsity == weights[0].zeros / 30
    assert {t.scales for t in weights} == {1}


def test_activations_say_how_they_are_quantised(fixture_file):
    file = fixture_file("dense")
    summary = summarize(file)
    out = summary.tensors[summary.outputs[0]]
    assert (out.role, out.dtype, out.scales) == ("activation", "int8", 1)
    assert (out.scale, out.zero_point) == (1 / 256, -128)  # softmax, by the specification


def test_the_bound_is_the_most_that_is_alive_at_once(fixture_file):
    """conv.tflite: the first convolution reads 64 and writes 144 bytes; nothing later needs more."""
    memory = plan_memory(read_graph(fixture_file("conv")))
    assert memory.bound == 64 + 6 * 6 * 4
    lives = {p.size: (p.first, p.last) for p in memory.places}
    assert lives[64] == (0, 0)
    assert lives[144] == (0, 1)
    assert lives[5] == (4, 4)


def test_no_two_tensors_of_a_plan_overlap_in_time_and_space(file):
    memory = plan_memory(read_graph(file))
    places = memory.places
    for a in places:
        assert a.offset % 4 == 0
        assert a.offset + a.size <= memory.size
        for b in places:
            if a.tensor < b.tensor and a.first <= b.last and b.first <= a.last:
                assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset


def test_a_residual_keeps_its_tensor_alive(fixture_file):
    """depthwise.tflite: at operators 1 and 2 the skipped tensor lives beside input and output."""
    memory = plan_memory(read_graph(fixture_file("depthwise")))
    assert memory.bound == 3 * (9 * 7 * 4)


def test_a_summary_is_made_without_any_heavy_library(public_file, tmp_path):
    """They take seconds to import; `microfed bench slice --only start` has the CPU time."""
    path = tmp_path / "model.tflite"
    path.write_bytes(public_file("kws_ref_model"))
    code = (
        "import sys; from pathlib import Path; from tflite_models.inspect import summarize;"
        "summarize(Path(sys.argv[1]).read_bytes());"
        "print(*sorted({'tensorflow', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
