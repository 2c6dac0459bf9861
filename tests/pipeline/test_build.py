"""A real build of digits: what its file holds, what its card says, and that it repeats."""

import gzip
import hashlib
import json

import numpy as np
import pytest

from datasets.load import load
from datasets.split import split
from tflite_models.graph import read_graph
from tflite_models.interpreter import Interpreter

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def file(built):
    return built[0].model.read_bytes()


@pytest.fixture(scope="module")
def card(built):
    return json.loads((built[0].model.parent / "card.json").read_text())


def test_the_stages_are_told_in_order_and_returned(built):
    result, told = built
    names = ["baseline", "pruned", "plain QAT", "PQAT", "int8 file"]
    assert [stage.name for stage in told] == names
    assert result.stages == tuple(told)


def test_the_asked_share_of_zeros_is_in_the_file(file):
    graph = read_graph(file)
    kernels = [graph.tensors[op.inputs[1]].data for op in graph.operators if len(op.inputs) == 3]
    assert len(kernels) == 3
    assert {kernel.dtype for kernel in kernels} == {np.dtype(np.int8)}
    assert np.mean(np.concatenate([kernel.ravel() for kernel in kernels]) == 0) >= 0.6


def test_every_stage_says_its_own_sparsity(built):
    sparsity = {stage.name: stage.sparsity for stage in built[0].stages}
    assert sparsity["baseline"] < 0.01
    assert 0.6 <= sparsity["pruned"] <= 0.61
    assert sparsity["plain QAT"] < 0.4, "plain QAT is shown because it loses the zeros"
    assert 0.6 <= sparsity["PQAT"] == sparsity["int8 file"] <= 0.65


def test_the_file_is_int8_at_both_ends_and_takes_one_sample(file):
    graph = read_graph(file)
    ports = [graph.tensors[i] for i in graph.inputs + graph.outputs]
    assert [(t.shape, t.dtype) for t in ports] == [((1, 8, 8, 1), np.int8), ((1, 10), np.int8)]


def test_the_network_learnt_and_the_file_is_as_good_as_what_it_was_made_from(built):
    accuracy = {stage.name: stage.accuracy for stage in built[0].stages}
    assert accuracy["baseline"] > 0.8
    assert accuracy["int8 file"] == pytest.approx(accuracy["PQAT"], abs=0.02)
    assert accuracy["int8 file"] > 0.8


def test_the_said_accuracy_is_that_of_the_stock_interpreter_on_the_test_share(built, file, small):
    data = load(small["data"])
    test = split(data, small["data"], seed=3).test
    accuracy = Interpreter(file).accuracy(data.x[test], data.y[test])
    assert built[0].figures()["accuracy_int8"] == accuracy


def test_figures_are_those_of_the_stages(built, file):
    result, _ = built
    figures = result.figures()
    assert figures["bytes_tflite"] == len(file)
    assert figures["bytes_gzip"] == len(gzip.compress(file, 9))
    assert figures["bytes_gzip"] < figures["bytes_tflite"] < figures["bytes_float_gzip"]
    assert figures["accuracy_pruned"] == result.stage("pruned").accuracy
    assert figures["accuracy_central"] is None
    assert figures["model"] == str(result.model)
    assert result.seconds >= sum(stage.seconds for stage in result.stages)


def test_stripping_makes_the_file_smaller_and_changes_no_answer(built):
    pqat, file = built[0].stage("PQAT"), built[0].stage("int8 file")
    assert file.bytes < pqat.bytes
    assert file.bytes_gzip < pqat.bytes_gzip


def test_the_card_has_what_a_stranger_needs(card, file, small):
    assert card["file"]["sha256"] == hashlib.sha256(file).hexdigest()
    assert card["file"]["bytes"] == card["budgets"]["flash_bytes"] == len(file)
    assert card["file"]["input"]["shape"] == [1, 8, 8, 1]
    assert card["data"] | {"sha256": ""} == {
        "name": "digits",
        "source": "scikit-learn load_digits (UCI data set 80, Alpaydin and Kaynak 1998)",
        "licence": "CC BY 4.0",
        "sha256": "",
        "classes": list("0123456789"),
        "factory": 211,
        "fleet": 1231,
        "clients": 20,
        "test": 355,
    }
    assert card["data"]["sha256"].startswith("cf7e26e57b05ca0d")
    assert [op["name"] for op in card["operators"]] == [
        "CONV_2D", "MAX_POOL_2D", "CONV_2D", "RESHAPE", "FULLY_CONNECTED",
    ]  # fmt: skip
    assert card["budgets"]["macs"] == sum(op["macs"] for op in card["operators"]) > 0
    assert card["budgets"]["peak_ram_bytes"] > 0
    assert [row["shape"] for row in card["sparsity"]] == [
        [6, 3, 3, 1], [12, 3, 3, 6], [10, 192],
    ]  # fmt: skip
    assert card["seed"] == 3
    assert card["settings"]["prune"] == small["prune"].model_dump()
    assert set(card["versions"]) >= {"python", "tensorflow", "tf_keras", "numpy"}
    assert card["accuracy_central"] is None


def test_the_metrics_of_the_card_agree_with_each_other(card, built):
    confusion = np.array(card["metrics"]["confusion"])
    assert confusion.shape == (10, 10)
    assert confusion.sum() == 355
    assert card["metrics"]["accuracy"] == np.trace(confusion) / 355
    assert card["metrics"]["accuracy"] == built[0].figures()["accuracy_int8"]
    assert [row["samples"] for row in card["metrics"]["per_class"]] == confusion.sum(1).tolist()
    for row, recall in zip(
        card["metrics"]["per_class"], confusion.diagonal() / confusion.sum(1), strict=True
    ):
        assert row["recall"] == pytest.approx(recall)


def test_the_card_for_people_says_the_same(built, card):
    text = (built[0].model.parent / "card.md").read_text()
    assert text.startswith("# cnn on digits\n")
    assert card["file"]["sha256"] in text
    assert f"**{card['metrics']['accuracy']:.2%}**" in text
    assert "| int8 file |" in text


def test_nothing_is_left_aside(built):
    folder = built[0].model.parent
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "card.md", "model.tflite"]


def test_the_same_seed_builds_the_same_file_and_card(built, small, tmp_path):
    from pipeline.build import build

    again = build(**small, seed=3, out=tmp_path)
    for name in ("model.tflite", "card.json", "card.md"):
        first = (built[0].model.parent / name).read_bytes()
        assert (again.model.parent / name).read_bytes() == first, name


def test_a_network_that_is_not_pruned_has_fewer_stages_and_a_central_reference(small, tmp_path):
    from pipeline.build import build

    told = []
    quick = small["model"].model_copy(update={"architecture": "mlp", "epochs": 3, "central": True})
    settings = small | {"model": quick, "prune": small["prune"].model_copy(update={"sparsity": 0})}
    result = build(**settings, seed=1, out=tmp_path, on_stage=told.append)
    assert [stage.name for stage in result.stages] == ["baseline", "QAT", "int8 file"]
    assert [stage.name for stage in told] == ["baseline", "QAT", "int8 file", "central"]
    assert result.central == told[-1].accuracy > result.figures()["accuracy_int8"]
    assert result.figures()["accuracy_pruned"] is None
    assert json.loads((tmp_path / "card.json").read_text())["accuracy_central"] == result.central


def test_nothing_is_written_when_the_file_is_not_what_was_asked_for(small, tmp_path, monkeypatch):
    from pipeline import recipe
    from pipeline.build import build
    from pipeline.errors import BuildError

    def loses_zeros(model, x, *, keep_zeros):
        del keep_zeros
        return quantizable(model, x, keep_zeros=False)

    quantizable = recipe.quantizable
    monkeypatch.setattr(recipe, "quantizable", loses_zeros)
    monkeypatch.setattr(recipe, "KeepZeros", lambda _: recipe.keras.callbacks.Callback())
    quick = small | {
        "model": small["model"].model_copy(update={"architecture": "mlp", "epochs": 4}),
        "quantize": small["quantize"].model_copy(update={"compare": False}),
    }
    with pytest.raises(BuildError, match=r"hold .*% zeros; prune.sparsity = 0.6 is asked"):
        build(**quick, seed=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
