"""The card of a model: what it was made from, what it can do, and what it asks of a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from platform import python_version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.load import Dataset
from datasets.settings import DataSettings
from datasets.split import Split
from pipeline.recipe import Outcome, Recipe
from pipeline.verify import gzip_size
from tflite_models.inspect import Summary, summarize

Card = Mapping[str, Any]

PACKAGES = ("tensorflow", "tensorflow-model-optimization", "tf_keras", "numpy", "ai-edge-litert")


def card_of(
    dataset: Dataset,
    settings: DataSettings,
    parts: Split,
    recipe: Recipe,
    outcome: Outcome,
    central: float | None,
) -> Card:
    """Everything to say about one built file, ready for JSON.

    `stages` has a row per stage of the build; `metrics` are the int8 file's on
    the test share, by the stock interpreter; `accuracy_central` is the int8
    accuracy of the same network trained on all training data, or null.
    """
    summary = summarize(outcome.file)
    confusion = _confusion(dataset.y[parts.test], outcome.predicted, len(dataset.classes))
    return {
        "file": _file(outcome.file, summary),
        "data": _data(dataset, settings, parts),
        "metrics": {
            "accuracy": float(np.trace(confusion) / confusion.sum()),
            "per_class": _per_class(confusion, dataset.classes),
            "confusion": confusion.tolist(),
        },
        "accuracy_central": central,
        "stages": [_row(asdict(stage)) for stage in outcome.stages],
        "operators": [asdict(operator) for operator in summary.operators],
        "sparsity": [
            {"tensor": t.index, "shape": list(t.shape), "zeros": t.zeros, "sparsity": t.sparsity}
            for t in summary.tensors
            if t.role == "weight"
        ],
        "budgets": {
            "flash_bytes": summary.flash_bytes,
            "peak_ram_bytes": summary.peak_ram,
            "macs": summary.macs,
            "parameters": summary.parameters,
        },
        "seed": recipe.seed,
        "settings": {
            "data": settings.model_dump(),
            "model": recipe.model.model_dump(),
            "prune": recipe.prune.model_dump(),
            "quantize": recipe.quantize.model_dump(),
        },
        "versions": {"python": python_version(), **{p: version(p) for p in PACKAGES}},
    }


def markdown(card: Card) -> str:
    """The card as a person reads it."""
    data, metrics, settings = card["data"], card["metrics"], card["settings"]
    confusion = zip(data["classes"], metrics["confusion"], strict=True)
    sections = (
        f"# {settings['model']['architecture']} on {data['name']}",
        _summary(card),
        "## What it was made from",
        _origin(data, settings["data"]["partition"]),
        "## How it got small",
        _table(card["stages"]),
        "Sparsity counts the kernels that pruning is about; bytes are of each stage's `.tflite`.",
        "## Per class",
        _table(metrics["per_class"]),
        "Confusion (rows: the true class, columns: the file's answer):",
        _table(
            {"": name, **dict(zip(data["classes"], row, strict=True))} for name, row in confusion
        ),
        "## What it asks of a device",
        _table([card["budgets"]]),
        _table(card["operators"]),
        "Zeros in each weight tensor:",
        _table(card["sparsity"]),
        "## How to repeat it",
        f"Seed {card['seed']}; the settings are in card.json. Made with "
        + ", ".join(f"{name} {number}" for name, number in card["versions"].items())
        + ".",
    )
    return "\n\n".join(sections) + "\n"


def _summary(card: Card) -> str:
    file, data, central = card["file"], card["data"], card["accuracy_central"]
    reference = "" if central is None else f" Trained centrally on all data: {central:.2%}."
    return (
        f"int8 `.tflite`, {file['bytes']:,} bytes, SHA-256 `{file['sha256']}`.\n\n"
        f"Accuracy on the {data['test']:,} test samples: "
        f"**{card['metrics']['accuracy']:.2%}**.{reference}"
    )


def _origin(data: Card, partition: str) -> str:
    return (
        f"{data['source']}. Licence: {data['licence']}. {data['factory']:,} samples trained it; "
        f"{data['fleet']:,} more lie with {data['clients']:,} devices (partition: {partition}); "
        "neither saw the test share. "
        f"SHA-256 of the samples and labels: `{data['sha256']}`."
    )


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over the samples (float32) and labels (int32), little-endian, in order."""
    digest = hashlib.sha256(np.ascontiguousarray(dataset.x, "<f4").data)
    digest.update(np.ascontiguousarray(dataset.y, "<i4").data)
    return digest.hexdigest()


def _file(file: bytes, summary: Summary) -> Card:
    return {
        "name": "model.tflite",
        "sha256": hashlib.sha256(file).hexdigest(),
        "bytes": len(file),
        "bytes_gzip": gzip_size(file),
        "input": _port(summary, summary.inputs[0]),
        "output": _port(summary, summary.outputs[0]) | {"means": "logits"},
    }


def _port(summary: Summary, index: int) -> dict[str, Any]:
    tensor = summary.tensors[index]
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _data(dataset: Dataset, settings: DataSettings, parts: Split) -> Card:
    return {
        "name": settings.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "sha256": fingerprint(dataset),
        "classes": list(dataset.classes),
        "factory": len(parts.factory),
        "fleet": sum(map(len, parts.clients)),
        "clients": len(parts.clients),
        "test": len(parts.test),
    }


def _row(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage without its seconds: the same build gives the same card."""
    return {key: value for key, value in stage.items() if key != "seconds"}


def _confusion(y: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (y, predicted), 1)
    return counts


def _per_class(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1; None where a class was never seen or never answered."""
    hits, true, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        {
            "class": name,
            "samples": int(true[i]),
            "precision": _ratio(hits[i], answered[i]),
            "recall": _ratio(hits[i], true[i]),
            "f1": _ratio(2 * hits[i], true[i] + answered[i]),
        }
        for i, name in enumerate(classes)
    ]


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table; its heads are the keys of the rows."""
    rows = list(rows)
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(v) for v in r.values()] for r in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return "–" if value is None else str(value).replace("|", r"\|")
