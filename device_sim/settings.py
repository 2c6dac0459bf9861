"""The [fleet] section of an experiment: the simulated devices and what befalls them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FleetSettings(BaseModel):
    """The hardware, the links and the mishaps of a simulated fleet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="processes that share the devices; 0: one per core, at most 2 (ray: one for "
        "each processor of the cluster)",
    )
    engine: Literal["process", "ray"] = Field(
        "process",
        description="process: processes of this machine. ray: actors on a Ray cluster, which needs "
        "microfed[ray] (docs/scaling.md)",
    )
    transport: Literal["mqtt", "gateway", "memory"] = Field(
        "mqtt",
        description="mqtt: a connection for each device. gateway: one for many, as real gateways "
        "have. memory: broker, aggregator and devices in one process, no sockets: for sweeps. "
        "The same messages and results with each",
    )
    gateway: int = Field(
        100,
        ge=1,
        le=1000,
        description='devices behind one gateway, with transport = "gateway" (in memory all of '
        "them are on one line)",
    )
    board: str = Field(
        "esp32",
        min_length=1,
        max_length=32,
        description="the board that every device is (`microfed inspect --help` lists them)",
    )
    qemu: int = Field(
        0,
        ge=0,
        le=64,
        description="so many of the devices, the first ones, are real firmware: Cortex-M4F nodes "
        "in QEMU (docs/firmware.md)",
    )
    link: Literal["none", "wifi", "ble", "lte-m", "lorawan", "lorawan-sf12"] = Field(
        "wifi",
        description="what connects the devices: what a byte costs in joules (docs/boards.md), and "
        'with clock = "device" in time. none: nothing',
    )
    clock: Literal["host", "device"] = Field(
        "host",
        description="host: training takes as long as this machine takes, and links do not delay "
        "unless rate is set. device: training and links take as long as they do on the board",
    )
    rate: float = Field(
        0.0,
        ge=0,
        description="mean speed of a device's link in bytes a second each way; devices differ by "
        'up to half of it; 0 is unlimited, or with clock = "device" what the kind of link allows',
    )
    loss: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="chance that a message to or from a device is lost on its link",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="chance, each round, that a device vanishes at a random point of it",
    )
    away: float = Field(
        2.0, ge=0, le=3600, description="seconds that a device which vanished stays away"
    )
    battery: float = Field(
        1.0, ge=0, le=1, description="charge of every battery at the start; 1 is full"
    )
    capacity: float = Field(
        1000.0,
        gt=0,
        le=1e6,
        description="mAh of a full battery at 3.7 V; 1000 is a small lithium cell, as sensors have",
    )

    @model_validator(mode="after")
    def _reaches_its_broker(self) -> Self:
        if self.engine == "ray" and self.transport == "memory":
            raise ValueError('engine "ray" is for transport "mqtt" or "gateway"')
        if self.qemu and self.transport == "memory":
            raise ValueError('qemu: nodes need a broker: transport "mqtt" or "gateway"')
        return self
