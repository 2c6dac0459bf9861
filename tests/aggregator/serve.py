"""An aggregator in a process of its own: `serve.py PORT FLEET RUN EXPECTED SETTINGS` (JSON)."""

import asyncio
import sys
import zlib
from pathlib import Path

from aggregator.service import aggregate
from aggregator.settings import FederatedSettings
from mqtt_client.endpoint import Endpoint
from wire.settings import WireSettings

BASE = Path(__file__).parents[1] / "fixtures" / "conv.tflite"


def main(port, fleet, directory, expected, settings):
    finished = asyncio.run(
        aggregate(
            broker=Endpoint("127.0.0.1", int(port)),
            fleet=fleet,
            base=BASE.read_bytes(),
            run_dir=Path(directory),
            settings=FederatedSettings.model_validate_json(settings),
            wire=WireSettings(),
            expected=int(expected),
            seed=1,
            evaluate=lambda file: zlib.crc32(file) / 2**32,
            on_round=lambda record: None,
        )
    )
    sys.exit(not finished)


if __name__ == "__main__":
    main(*sys.argv[1:])
