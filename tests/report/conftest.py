"""Two runs written out: one that has everything, one that has next to nothing."""

from datetime import UTC, datetime

import pytest

from report.record import (
    BuildStage,
    DeviceRow,
    EnergySpent,
    ModelFacts,
    RoundPoint,
    RunRecord,
    Totals,
)


@pytest.fixture(scope="session")
def full():
    return RunRecord(
        name="har",
        started=datetime(2026, 3, 14, 9, 26, tzinfo=UTC),
        seconds=102.4,
        config='name = "har"\nseed = 1\n\n[data]\nname = "har"\npartition = "subject"\n',
        accuracy_start=0.861,
        accuracy_end=0.912,
        accuracy_best=0.915,
        accuracy_central=0.92,
        rounds=(
            RoundPoint(1, 0.874, 0.61, 0.44, 3, 3, 0, 1.5, 1_400, 60_000),
            RoundPoint(2, 0.893, 0.48, 0.35, 3, 2, 1, 1.6, 950, 4_100),
            RoundPoint(3, 0.915, 0.39, 0.29, 3, 2, 0, 60.0, 940, 4_000),
            RoundPoint(4, 0.912, 0.33, 0.25, 3, 3, 0, 1.5, 1_410, 4_200),
        ),
        totals=Totals(bytes_up=5_000, bytes_down=73_000, bytes_up_float32=224_400),
        model=ModelFacts(
            ("CONV_2D", "CONV_2D", "MEAN", "FULLY_CONNECTED"), 5_610, 11_240, 0.498, 12_288
        ),
        versions={"microfed": "0.1.0", "NumPy": "2.4.6"},
        refusals={"LATE": 2, "TOO_LARGE": 1, "STALE": 0},
        classes=("WALKING", "SITTING", "LAYING"),
        devices=(
            DeviceRow("har-01", 300, (100, 100, 100), 4, 1_700, 24_000),
            DeviceRow("har-02", 281, (281, 0, 0), 3, 1_500, 25_000),
            DeviceRow("har-03", 409, (0, 9, 400), 3, 1_800, 24_000),
        ),
        stages=(
            BuildStage("float32", 0.868, 0.0, 26_400, 24_010),
            BuildStage("pruned", 0.866, 0.5, 26_400, 14_200),
            BuildStage("int8", 0.861, 0.498, 11_240, 5_740),
        ),
        abandoned=1,
        energy=EnergySpent(
            "stm32f405",
            "ble",
            {"training": 4.5, "up": 0.3, "down": 0.06, "connecting": 0.0, "sleep": 0.0},
            3,
            {"sleep": "what stm32f405 draws has no source"},
            measured=True,
        ),
    )


@pytest.fixture(scope="session")
def minimal():
    return RunRecord(
        name="digits",
        started=datetime(2026, 3, 14, 9, 26, tzinfo=UTC),
        seconds=0.4,
        config="",
        accuracy_start=0.5,
        accuracy_end=0.5,
        accuracy_best=0.5,
        rounds=(),
        totals=Totals(0, 0, 0),
        model=ModelFacts(("FULLY_CONNECTED",), 650, 2_000, 0.0),
        versions={},
    )
