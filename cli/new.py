"""`microfed new`: a commented configuration to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.config import ConfigError, Experiment
from cli.output import Output, reports_errors

Changes = Mapping[str, Mapping[str, Any]]  # section → key → value, where not the default

FEWEST_PEOPLE = 3  # one in the factory, one in the fleet, one in the test
# Samples are (height, width, channels).  Shorter columns are features, not a window of time;
# smaller images have nothing left to pool.
SHORTEST_SIGNAL = 64
SMALLEST_IMAGE = 6


@click.command(epilog="Example: microfed new pump --data vibration.npz")
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your own data: an .npz with x, y and, if it has one, subject.",
)
@reports_errors
def command(name: str, data: Path | None, out: Output) -> None:
    """Write NAME.toml: every setting with its meaning, its default and what is allowed."""
    path = Path(f"{name}.toml")
    if path.exists():
        raise ConfigError(f"{path}: exists already; choose another name or remove it")
    try:
        experiment = Experiment.model_validate({"name": name})
    except ValueError as error:
        raise ConfigError(f"name {name!r}: 1 to 32 letters, digits, '-' or '_'") from error
    changes = _fitting(data.resolve()) if data else {}
    path.write_text(commented(experiment, changes), encoding="utf-8")
    out.line(f"Wrote {path}. Next: microfed run {path}")
    out.result({"config": str(path)})


def _fitting(path: Path) -> Changes:
    """Look into the user's file for who holds what and the network; raises DataError."""
    from datasets.load import load
    from datasets.settings import DataSettings

    settings = DataSettings(name=f"npz:{path}")
    dataset = load(settings)
    data: dict[str, Any] = {"name": settings.name}
    people = 0 if dataset.subject is None else len(set(dataset.subject.tolist()))
    if people >= FEWEST_PEOPLE:
        seen = people - max(1, round(settings.test * people))  # the others are the test
        factory = max(1, min(settings.factory_subjects, seen // 3))
        data |= {"partition": "subject", "clients": 0, "factory_subjects": factory}
    return {"data": data, "model": {"architecture": _architecture(*dataset.x.shape[1:3])}}


def _architecture(height: int, width: int) -> str:
    if height >= SHORTEST_SIGNAL and height >= 4 * width:
        return "cnn1d"
    return "cnn" if min(height, width) >= SMALLEST_IMAGE else "mlp"


def commented(experiment: Experiment, changes: Changes) -> str:
    """Return the experiment as TOML with each setting's description above it."""
    lines = ["# One experiment: see docs/cli.md. Unset keys have the values shown here."]
    for key, info in Experiment.model_fields.items():
        item = getattr(experiment, key)
        if isinstance(item, BaseModel):
            lines += ["", f"[{key}]"]
            for name, field in type(item).model_fields.items():
                lines += _entry(name, field, changes.get(key, {}).get(name, getattr(item, name)))
        else:
            lines += _entry(key, info, item)
    return "\n".join(lines) + "\n"


def _entry(name: str, info: FieldInfo, item: Any) -> list[str]:
    lines = [f"# {info.description}"] if info.description else []
    return [*lines, f"# {name} =" if item is None else tomli_w.dumps({name: item}).rstrip()]
