"""The [federated] section of an experiment."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class FederatedSettings(BaseModel):
    """How many rounds, with whom, until when, and how updates become the next model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(
        20, ge=0, le=100_000, description="Rounds that must close before the run is finished."
    )
    cohort: float = Field(
        1.0,
        gt=0,
        le=100_000,
        description="Devices asked in each round: a share of those online (up to 1.0), "
        "or a whole number above 1.",
    )
    quorum: float = Field(
        0.8, gt=0, le=1, description="Share of the cohort whose updates make a round count."
    )
    deadline: float = Field(
        60.0, gt=0, le=86_400, description="Seconds that a round stays open for its updates."
    )
    min_devices: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Devices that must be online before the first round opens "
        "(0: all that the experiment has).",
    )
    max_devices: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Devices that the aggregator remembers; more are turned away.",
    )
    rule: Literal["fedavg", "fedavgm", "fedadam"] = Field(
        "fedavg", description="How the mean update moves the model."
    )
    server_learning_rate: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Factor on the server's step (fedadam wants a small one, such as 0.01).",
    )
    server_momentum: float = Field(
        0.9, ge=0, lt=1, description="Momentum of fedavgm, first-moment decay of fedadam."
    )
    epochs: int = Field(1, ge=1, le=1000, description="Passes over a device's data per round.")
    batch: int = Field(16, ge=1, le=65_536, description="Samples in one local step.")
    learning_rate: float = Field(
        0.01,
        gt=0,
        le=100,
        description="Local learning rate.  Too low only costs rounds; too high, and the first "
        "round forgets what the model knew.",
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="Local momentum.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Local L2 weight decay.")
    train: str = Field(
        "all",
        description="What devices train: all, head (the last layer), last-2, last-3 … (so many "
        "layers) or biases.  The rest stays as it is, takes no memory for its gradients and does "
        "not travel.  What a model has, and the RAM it takes: `microfed inspect --train`.",
    )
    proximal: float = Field(
        0.0, ge=0, le=1000, description="FedProx: pull towards the global weights (mu)."
    )
    clip_norm: float = Field(
        0.0, ge=0, le=1e6, description="Largest norm of a local gradient (0: no clipping)."
    )
    rotation: float = Field(
        0.0,
        ge=0,
        le=90,
        description="Degrees by which devices turn three-axis sensor samples at random "
        "before they train on them (0: not at all).",
    )
    fake_quantize: bool = Field(
        True,
        description="Whether devices round activations while they train, as the int8 file does "
        "when it is used.",
    )
    evaluate_every: int = Field(
        1,
        ge=1,
        le=100_000,
        description="Rounds from one evaluation to the next; those between have the accuracy of "
        "the last one.  The last round is always evaluated.",
    )
    decay: float = Field(
        1.0, gt=0, le=1, description="Factor on the local learning rate after every round."
    )

    @field_validator("train")
    @classmethod
    def _part(cls, train: str) -> str:
        if not re.fullmatch("all|head|biases|last-[1-9][0-9]{0,5}", train):
            raise ValueError("all, head, biases, or last-2, last-3 … layers is allowed")
        return train

    @field_validator("cohort")
    @classmethod
    def _share_or_count(cls, cohort: float) -> float:
        if cohort > 1 and cohort != int(cohort):
            raise ValueError("a share up to 1.0 or a whole number of devices is allowed")
        return cohort
