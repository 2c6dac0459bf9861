"""A configuration is read strictly, and a mistake says where it is and what is allowed."""

import tomllib
from pathlib import Path

import pytest

from cli.config import ConfigError, Experiment, load
from cli.new import commented

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def write(tmp_path, text):
    path = tmp_path / "e.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_shipped_examples_are_valid(path):
    assert load(path).name == path.stem


def test_the_four_examples_are_shipped():
    assert [path.stem for path in EXAMPLES] == ["digits", "fashion", "har", "speech"]


def test_an_override_reaches_its_section(tmp_path):
    path = write(tmp_path, 'name = "a"\n[federated]\nrounds = 3\n')
    experiment = load(path, ["federated.rounds=5", "data.name=har", "seed=9"])
    assert (experiment.federated.rounds, experiment.data.name, experiment.seed) == (5, "har", 9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "a"\n[federated]\nrouds = 3\n', r"federated\.rouds: unknown key; did you mean rounds"),
        ('name = "a"\n[federated]\nrounds = "3"\n', r"federated\.rounds: found '3'; input should be a valid integer"),
        ('name = "a"\n[federated]\nrounds = true\n', r"federated\.rounds: found True"),
        ('name = "a"\n[broker]\nkind = "emqx"\n', r"broker\.kind: found 'emqx'; .*'auto', 'embedded'"),
        ('name = "a"\n[data]\nalpha = -1.0\n', r"data\.alpha: found -1\.0; .*greater than 0"),
        ('name = "a"\n[fleet]\nboard = "z80"\n', r"fleet\.board: found 'z80'; allowed are nano33ble"),
        ('name = "a"\n[federated]\ntrain = "tail"\n', r"federated\.train: found 'tail'; .*all, head, biases"),
        ("[data]\n", "name: missing"),
        ('name = "a b"\n', "name: found 'a b'"),
        ("name = \n", "not TOML: .*line 1"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_key_finding_and_what_is_allowed(tmp_path, text, says):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=says) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_every_mistake_is_listed_at_once(tmp_path):
    path = write(tmp_path, 'name = "a"\n[data]\nalpha = 0\n[fleet]\nloss = 2.0\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 2


def test_a_wrong_override_is_blamed_on_the_command_line(tmp_path):
    path = write(tmp_path, 'name = "a"\n')
    with pytest.raises(ConfigError, match=r"^--set data\.alpha=-1: data\.alpha: found -1;"):
        load(path, ["data.alpha=-1"])
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        load(path, ["rounds"])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_what_is_written_reads_back_the_same(tmp_path):
    experiment = load(write(tmp_path, 'name = "a"\n[data]\nname = "npz:my \\"data\\".npz"\n'))
    assert load(write(tmp_path, experiment.to_toml())) == experiment


def test_a_new_configuration_explains_every_setting_and_is_valid(tmp_path):
    text = commented(Experiment(name="pump"), {"data": {"name": "npz:pump.npz"}})
    experiment = load(write(tmp_path, text))
    assert experiment == Experiment(name="pump", data={"name": "npz:pump.npz"})
    settings = [line for line in text.splitlines() if line and line[0] not in "#["]
    assert len(settings) == sum(
        len(table) if isinstance(table, dict) else 1 for table in tomllib.loads(text).values()
    )
    lines = text.splitlines()
    assert all(lines[lines.index(s) - 1].startswith("#") for s in settings)
