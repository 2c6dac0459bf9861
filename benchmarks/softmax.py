"""The workload that federated simulators are compared on: softmax regression 784 → 10.

Random images around ten prototypes stand for handwritten digits; who computes
what is the same for all, and no data set has to be there.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from device_sim.shard import Shard
from tflite_models.packing import Packer

INPUTS, CLASSES = 784, 10
SAMPLES = 60  # a client
LEARNING_RATE = 0.02
IMAGES = 60_000  # distinct; clients beyond the thousandth share them with earlier ones


def images(seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Make x (IMAGES, 784) in 0 … 1, y (IMAGES,)."""
    rng = np.random.default_rng(seed)
    prototypes = rng.random((CLASSES, INPUTS), np.float32)
    y = rng.integers(0, CLASSES, IMAGES, np.int32)
    x = rng.random((IMAGES, INPUTS), np.float32)
    x *= 0.7
    x += 0.3 * prototypes[y]
    return x, y


def shards(clients: int) -> dict[str, Shard]:
    """Each client's samples; views of one array."""
    x, y = images()
    found = {}
    for client in range(clients):
        # Beyond the first lap windows are shifted, so that no two clients hold the same.
        lap, place = divmod(client * SAMPLES, IMAGES)
        start = min(place + lap, IMAGES - SAMPLES)
        found[f"dev-{client:05d}"] = Shard(x[start : start + SAMPLES], y[start : start + SAMPLES])
    return found


def model(seed: int = 1) -> bytes:
    """An int8 .tflite of one fully connected layer, small random weights, none of them pruned."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 28, (CLASSES, INPUTS)) * rng.choice((-1, 1), (CLASSES, INPUTS))
    packer = Packer()
    buffers = [
        packer.table("Buffer"),
        packer.table("Buffer", Data=packer.data(weights.astype(np.int8).tobytes(), "weights")),
        packer.table("Buffer", Data=packer.data(np.zeros(CLASSES, "<i4").tobytes(), "bias")),
    ]
    image, weight = 1 / 255, 1 / 1024
    tensors = [
        _tensor(packer, (1, INPUTS), schema.TensorType.INT8, 0, image, -128, "image"),
        _tensor(packer, (CLASSES, INPUTS), schema.TensorType.INT8, 1, weight, 0),
        _tensor(packer, (CLASSES,), schema.TensorType.INT32, 2, image * weight, 0),
        _tensor(packer, (1, CLASSES), schema.TensorType.INT8, 0, 1 / 4, 0, "logits"),
    ]
    operator = packer.table(
        "Operator",
        Inputs=packer.indices((0, 1, 2)),
        Outputs=packer.indices((3,)),
        BuiltinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        BuiltinOptions=packer.table("FullyConnectedOptions"),
    )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    codes = packer.table("OperatorCode", DeprecatedBuiltinCode=code, BuiltinCode=code, Version=4)
    subgraph = packer.table(
        "SubGraph",
        Tensors=packer.tables(tensors),
        Inputs=packer.indices((0,)),
        Outputs=packer.indices((3,)),
        Operators=packer.tables([operator]),
    )
    root = packer.table(
        "Model",
        Version=3,
        OperatorCodes=packer.tables([codes]),
        Subgraphs=packer.tables([subgraph]),
        Buffers=packer.tables(buffers),
    )
    return packer.finish(root)


def _tensor(
    packer: Packer,
    shape: tuple[int, ...],
    kind: int,
    buffer: int,
    scale: float,
    zero_point: int,
    name: str = "",
) -> int:
    quantization = packer.table(
        "QuantizationParameters",
        Scale=packer.array(np.array([scale], np.float32)),
        ZeroPoint=packer.array(np.array([zero_point], np.int64)),
    )
    return packer.table(
        "Tensor",
        Shape=packer.indices(shape),
        Type=kind,
        Buffer=buffer,
        Name=packer.text(name) if name else 0,
        Quantization=quantization,
    )
