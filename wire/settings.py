"""The [wire] section of an experiment: how updates are written and cut."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wire.messages import MAX_BLOCK


class WireSettings(BaseModel):
    """How updates are coded, and how large objects are cut into messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: Literal["int8", "float32"] = Field(
        "int8",
        description="how devices write their updates: int8 (one byte or less a parameter) or "
        "float32 (exact, four bytes a parameter)",
    )
    block: int = Field(
        1024,
        ge=256,
        le=MAX_BLOCK,
        description="bytes of an object in one message; a device with a smaller buffer gets less",
    )
