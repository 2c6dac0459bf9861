"""The [wire] section of an experiment: how updates are written and cut."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wire.messages import MAX_BLOCK, MAX_OBJECT


class WireSettings(BaseModel):
    """How updates are coded, and how large objects are cut into messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: Literal[
        "microfed",
        "peaks",
        "int8",
        "float32",
        "float16",
        "topk",
        "stc",
        "qsgd",
        "signsgd",
        "drive",
    ] = Field(
        "microfed",
        description="how devices write their updates: microfed (the largest values, in "
        "budget_bytes), peaks (the largest values of a random rotation, in budget_bytes; for "
        "devices whose data differ much), int8 (a byte or less a parameter), float32 (exact), or "
        "one that others published: float16, topk, stc, qsgd, signsgd, drive",
    )
    budget_bytes: int = Field(
        0,
        ge=0,
        le=MAX_OBJECT,
        description="bytes of an update, for the codecs microfed and peaks (0: one for each 32 "
        "parameters, at least 32: 128 times fewer than float32)",
    )
    block: int = Field(
        1024,
        ge=256,
        le=MAX_BLOCK,
        description="bytes of an object in one message; a device with a smaller buffer gets less",
    )
