"""A run's folder: prepared in one place, one process's at a time, and never two runs'."""

import json
from hashlib import sha256

import pytest

from aggregator.errors import RunBusyError
from aggregator.schema import Opened
from aggregator.store import Store
from aggregator.versions import Model
from cli.config import ConfigError, Experiment, load
from cli.folder import held, prepare
from tests.cli.conftest import MODEL
from tflite_models.graph import read_graph
from tflite_models.parameters import layout_of, weights_of

EXPERIMENT = Experiment(name="small", data={"alpha": 0.3})


def other(**sections):
    return Experiment.model_validate(EXPERIMENT.model_dump() | sections)


@pytest.fixture
def model(tmp_path):
    """A model with its card, outside of the run."""
    path = tmp_path / "model.tflite"
    path.write_bytes(MODEL.read_bytes())
    digest = sha256(path.read_bytes()).hexdigest()
    (tmp_path / "card.json").write_text(json.dumps({"sha256": digest}))
    return path


@pytest.fixture
def run(tmp_path, model):
    folder = tmp_path / "run"
    with held(folder):
        prepare(folder, EXPERIMENT, model)
    return folder


def begin(run, rounds=1):
    """What an aggregator leaves that was killed: in its first round, or before it."""
    graph = read_graph((run / "base.tflite").read_bytes())
    weights = weights_of(graph, layout_of(graph))
    with Store(run, {"seed": 1}) as store:
        store.begin(Model(0, weights, weights.codes.astype("f8"), ()), 0.5)
        for number in range(1, rounds + 1):
            store.open_round(Opened(number, 0, ("a",), 1))
        store.commit()


def content(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_a_new_folder_has_the_experiment_the_model_and_its_card(run, model):
    assert set(content(run)) == {"base.tflite", "card.json", "config.toml", "run.lock"}
    assert (run / "base.tflite").read_bytes() == model.read_bytes()
    assert (run / "card.json").read_bytes() == model.with_name("card.json").read_bytes()
    assert load(run / "config.toml") == EXPERIMENT


def test_a_card_of_another_model_is_not_taken_along(tmp_path, model):
    model.with_name("card.json").write_text('{"sha256": "0123"}')
    with held(tmp_path / "run"):
        prepare(tmp_path / "run", EXPERIMENT, model)
    assert not (tmp_path / "run" / "card.json").exists()


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"data": {"alpha": 0.5}}, r"data\.alpha: found 0\.5; the run in .* has 0\.3; .*--out"),
        ({"seed": 2}, r"seed: found 2; the run in .* has 1"),
        ({"wire": {"block": 512}}, r"wire\.block: found 512; .* has 1024"),
        ({"prune": {"sparsity": 0.9}}, r"prune\.sparsity: found 0\.9"),
    ],
)
def test_a_run_that_has_begun_is_not_made_another_and_nothing_changes(run, sections, says):
    begin(run)
    before = content(run)
    with held(run), pytest.raises(ConfigError, match=says):
        prepare(run, other(**({"data": {"alpha": 0.3}} | sections)), None)
    assert content(run) == before


def test_a_run_that_has_begun_keeps_its_model(run, model):
    begin(run)
    before = content(run)
    model.write_bytes(model.read_bytes() + bytes(4))
    with held(run), pytest.raises(ConfigError, match=r"--model .*started from another file"):
        prepare(run, EXPERIMENT, model)
    assert content(run) == before


def test_a_run_goes_on_elsewhere_and_for_longer_and_its_config_says_so(run, model):
    begin(run)
    more = other(federated={"rounds": 99}, broker={"port": 1883}, fleet={"processes": 7})
    with held(run):
        prepare(run, more, model)
    assert load(run / "config.toml") == more


def test_a_first_start_that_failed_stands_in_nobodys_way(run, model):
    begin(run, rounds=0)
    model.write_bytes(model.read_bytes() + bytes(4))
    model.with_name("card.json").unlink()
    with held(run):
        prepare(run, other(seed=2), model)
    assert load(run / "config.toml").seed == 2
    assert (run / "base.tflite").read_bytes() == model.read_bytes()
    assert not (run / "card.json").exists(), "it was the other model's"
    with Store(run, {"seed": 2}) as store:
        assert store.load() is None


def test_a_folder_without_a_run_needs_a_model(tmp_path):
    with held(tmp_path), pytest.raises(ConfigError, match=r"holds no run .*base\.tflite"):
        prepare(tmp_path, EXPERIMENT, None)


def test_two_processes_cannot_have_one_folder(run):
    with held(run), pytest.raises(RunBusyError, match="in use by another process"), held(run):
        pass
    with held(run):
        pass


def test_an_aggregator_that_found_no_broker_leaves_a_folder_for_any_run(microfed, small, tmp_path):
    common = ("aggregate", small, "--broker", "mqtt://127.0.0.1:1", "--out", tmp_path / "run")
    assert microfed(*common, "--model", MODEL).code == 5
    again = microfed(*common, "--model", MODEL, "--set", "federated.epochs=3")
    assert again.code == 5, again.err
    assert load(tmp_path / "run" / "config.toml").federated.epochs == 3
