"""The [broker] section of an experiment."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mqtt_client.endpoint import MAX_PACKET


class BrokerSettings(BaseModel):
    """Which broker carries the messages, and where it listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "embedded", "mosquitto", "external"] = Field(
        default="auto",
        description="mosquitto: a child process. embedded: in our own process, this machine and "
        "trusted clients only. external: one that runs already. auto: mosquitto when it is "
        "installed, else embedded.",
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address to listen on; with external, the broker's.",
    )
    port: int = Field(
        default=0, ge=0, le=65535, description="0: any free port; with external, 1883."
    )
    username: str = Field(
        default="",
        pattern=r"^[^:\r\n]*$",
        description="Empty: no password is asked for. The password comes from password_file or "
        "from MICROFED_BROKER_PASSWORD in the environment.",
    )
    password_file: str = Field(
        default="", description="A file whose first line is the password of username."
    )
    max_packet: int = Field(
        default=MAX_PACKET,
        ge=2048,
        le=268_435_455,
        description="The largest MQTT packet in bytes that the broker takes.",
    )

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file needs username: whose password is it?")
        return self
