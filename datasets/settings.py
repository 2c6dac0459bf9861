"""The [data] section of an experiment: which data, and who holds what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAMES = ("digits", "har", "fashion", "mnist", "speech", "cwru")

Name = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(NAMES)}|npz:.+)$")]
Partition = Literal["dirichlet", "subject", "labels", "iid"]


class DataSettings(BaseModel):
    """Which data set, and how it is divided among the factory, the fleet and the test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(
        "digits",
        description="digits, har, fashion, mnist, speech, cwru, or npz:PATH for your own file "
        "(arrays x, y and, if you like, subject)",
    )
    partition: Partition = Field(
        "dirichlet",
        description="who holds what: subject (a device per person), dirichlet (skewed by alpha), "
        "labels (each device knows only some classes) or iid",
    )
    alpha: float = Field(
        0.5, gt=0, le=1000, description="dirichlet: the smaller, the more the devices differ"
    )
    labels: int = Field(2, ge=1, description="labels: how many classes each device holds")
    clients: int = Field(
        20, ge=0, le=100_000, description="devices in the fleet; 0 means one per subject"
    )
    factory: float = Field(
        0.15,
        gt=0,
        le=1,
        description="share of the training samples that `build` sees; 1 leaves no fleet "
        "(partition = subject: see factory_subjects)",
    )
    factory_subjects: int = Field(
        3, ge=1, description="subject: how many subjects' samples `build` sees"
    )
    test: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="share held out as the test where the data set has no official one",
    )
