"""The experiment's data, split the same way in every process that asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.config import ConfigError, Experiment
from datasets.errors import DataError
from datasets.load import Dataset, load
from datasets.split import Split, split
from tflite_models.errors import ModelError
from tflite_models.graph import read_graph


@dataclass(frozen=True)
class Shares:
    """A data set and who has which part of it."""

    dataset: Dataset
    split: Split

    @property
    def devices(self) -> tuple[str, ...]:
        """The ids of the fleet, one a client share."""
        return tuple(device_id(index) for index in range(len(self.split.clients)))


def shares_of(experiment: Experiment) -> Shares:
    """Load and split; raises datasets.errors.DataError."""
    dataset = load(experiment.data)
    return Shares(dataset, split(dataset, experiment.data, experiment.seed))


def check_model(path: Path, shares: Shares) -> None:
    """Raise ModelError where the model's input or classes are not those of the data."""
    graph = read_graph(path.read_bytes())
    taken = graph.tensors[graph.inputs[0]].shape[1:]
    given = shares.dataset.x.shape[1:]
    if taken != given:
        raise ModelError(str(path), f"takes samples of shape {taken}, the data has {given}")
    told = graph.tensors[graph.outputs[0]].shape[-1]
    classes = len(shares.dataset.classes)
    if told != classes:
        raise ModelError(str(path), f"knows {told} classes, the data has {classes}")


def check_fleet(config: Path, experiment: Experiment, devices: int) -> None:
    """Raise where rounds would wait for more devices than the experiment has.

    DataError when it has none, ConfigError naming `config` when the settings ask for more.
    """
    if devices == 0:
        raise DataError("the experiment has no devices: lower data.factory, or raise data.clients")
    if experiment.fleet.qemu > devices:
        raise ConfigError(
            f"{config}: fleet.qemu: found {experiment.fleet.qemu}; the experiment has {devices} "
            f"devices, so 0 to {devices} is allowed"
        )
    settings = experiment.federated
    most = f"the experiment has {devices} devices"
    if settings.min_devices > devices:
        found, allowed = f"min_devices: found {settings.min_devices}", f"0 to {devices}"
    elif settings.cohort > max(devices, 1.0):
        found, allowed = f"cohort: found {settings.cohort:g}", f"a share, or up to {devices},"
    elif settings.max_devices < (settings.min_devices or devices):
        found = f"max_devices: found {settings.max_devices}"
        allowed = f"{settings.min_devices or devices} or more"
    else:
        return
    raise ConfigError(f"{config}: federated.{found}; {most}, so {allowed} is allowed")


def device_id(index: int) -> str:
    """Name the device that holds client share `index`."""
    return f"dev-{index:05d}"
