"""Makes docs/vectors/*.json, the test vectors of docs/protocol.md.

    python -m tests.wire.make_vectors

Run it when the protocol grows; old vectors must not change.
"""

import json
from pathlib import Path

from tests.wire.message_vectors import messages, refused, transfer
from tests.wire.object_vectors import bases, differences, packed, trains, updates

VECTORS = Path(__file__).parents[2] / "docs" / "vectors"


def main():
    """Write every file."""
    VECTORS.mkdir(exist_ok=True)
    files = {
        "messages": messages(),
        "refused": refused(),
        "transfer": transfer(),
        "updates": updates(),
        "differences": differences(),
        "bases": bases(),
        "packed": packed(),
        "trains": trains(),
    }
    for name, content in files.items():
        (VECTORS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
