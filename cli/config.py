"""One TOML file describes an experiment: composed of every folder's own section."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aggregator.settings import FederatedSettings
from datasets.settings import DataSettings
from device_sim.settings import FleetSettings
from mqtt_broker.settings import BrokerSettings
from pipeline.settings import ModelSettings, PruneSettings, QuantizeSettings
from tflite_models.boards import BOARDS
from wire.settings import WireSettings


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, key, finding and remedy."""


class Experiment(BaseModel):
    """A whole experiment, as its TOML file says it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Names the fleet's topics and the folders of its runs.",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Everything random follows from it.")
    data: DataSettings = Field(default_factory=DataSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    prune: PruneSettings = Field(default_factory=PruneSettings)
    quantize: QuantizeSettings = Field(default_factory=QuantizeSettings)
    federated: FederatedSettings = Field(default_factory=FederatedSettings)
    wire: WireSettings = Field(default_factory=WireSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    fleet: FleetSettings = Field(default_factory=FleetSettings)

    def to_toml(self) -> str:
        """Return the whole experiment, defaults included, as a TOML document."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and validate a configuration.

    Args:
        path: the TOML file.
        overrides: `section.key=value` texts, the value as TOML or bare text.

    Raises:
        ConfigError: listing every mistake, one line each.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    origin = {_override(raw, text): f"--set {text}" for text in overrides}
    try:
        experiment = Experiment.model_validate(raw, strict=True)
    except ValidationError as error:
        lines = [_explain(origin, path, dict(mistake)) for mistake in error.errors()]
        raise ConfigError("\n".join(lines)) from error
    if experiment.fleet.board not in BOARDS:
        where = origin.get("fleet.board", str(path))
        found = experiment.fleet.board
        raise ConfigError(f"{where}: fleet.board: found {found!r}; allowed are {', '.join(BOARDS)}")
    return experiment


def _override(raw: dict[str, Any], text: str) -> str:
    key, equals, literal = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) > 2:
        raise ConfigError(f"--set {text}: expected section.key=value, as in federated.rounds=5")
    table = raw
    if len(parts) == 2:
        table = raw.setdefault(parts[0], {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {text}: {parts[0]} is not a section")
    try:
        parsed = tomllib.loads(f"x = {literal}")
    except tomllib.TOMLDecodeError:
        parsed = {"x": literal.strip()}
    if len(parsed) != 1:
        raise ConfigError(f"--set {text}: one setting at a time is allowed")
    table[parts[-1]] = parsed["x"]
    return ".".join(parts)


def _explain(origin: Mapping[str, str], path: Path, mistake: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in mistake["loc"])
    where = origin.get(key, str(path))
    if mistake["type"] == "missing":
        return f"{where}: {key}: missing"
    if mistake["type"] == "extra_forbidden":
        allowed = _allowed(mistake["loc"][:-1])
        near = difflib.get_close_matches(str(mistake["loc"][-1]), allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{where}: {key}: unknown key; {hint}allowed are {', '.join(allowed)}"
    found = mistake["input"]
    return f"{where}: {key}: found {found!r}; {mistake['msg'][0].lower()}{mistake['msg'][1:]}"


def _allowed(section: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Experiment
    for part in section:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
