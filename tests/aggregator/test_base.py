"""Released models as base objects: their numbers are found, and the files come back."""

from pathlib import Path

import pytest

from aggregator.base import runs_of
from tflite_models.graph import read_graph
from tflite_models.layout import layout_of
from wire.base import Form, pack_base, unpack_base
from wire.packing import pack

MODELS = Path(__file__).parents[2] / "tflite_models"


@pytest.mark.parametrize("name", ["digits", "har", "fashion", "speech"])
def test_a_released_model_comes_back_from_fewer_bytes_than_deflate_takes(name):
    file = (MODELS / name / "model.tflite").read_bytes()
    data = pack_base(file, runs_of(file))
    assert unpack_base(data, len(file)) == file
    assert len(data) < 0.93 * len(pack(file))


def test_every_parameter_is_in_a_run_and_no_two_runs_meet():
    file = (MODELS / "fashion" / "model.tflite").read_bytes()
    layout, runs = layout_of(read_graph(file)), runs_of(file)
    parameters = sum(run.size for run in runs if run.form is not Form.PRODUCTS)
    assert parameters == layout.size
    ends = [0, *(run.end for run in runs)]
    assert all(run.at >= end for run, end in zip(runs, ends, strict=False))
    factors = [run.factors for run in runs if run.form is Form.PRODUCTS]
    assert len(set(factors)) == sum(slot.kind == "bias" for slot in layout.slots)
