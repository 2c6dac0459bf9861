"""Instructions of training and inference where nothing was measured: a fit over MACs.

docs/boards.md has the measurements that it was made from, and how far off it is.
"""

from __future__ import annotations

from device_sim.energy import Work
from tflite_models.graph import Graph
from tflite_models.inspect import multiplications
from tflite_models.layout import Layout
from tflite_models.scope import trained_slots

# Instructions of a Cortex-M4F (gcc 12.2 -O2) for a multiply-accumulate, over the released models.
FLOAT = 4.5  # in training: 3.4 to 6.3 where all trains
INT8 = 1.8  # in inference: 1.2 to 2.5


def estimated(graph: Graph, layout: Layout, bits: bytes) -> Work:
    """The work of training what `bits` say (tflite_models.scope), and of an inference."""
    forward = sum(macs for _, macs in multiplications(graph))
    backward = _backward(graph, layout, bits)
    return Work(FLOAT * (forward + backward), 2 * FLOAT * forward, INT8 * forward, measured=False)


def _backward(graph: Graph, layout: Layout, bits: bytes) -> int:
    """MACs of the gradients: of weights that train, and of what lies behind the first of them."""
    trained = {layout.slots[number].tensor for number in trained_slots(layout, bits)}
    total, reached = 0, False
    for operator, macs in multiplications(graph):
        total += macs if reached else 0  # the gradient of its input
        parameters = operator.inputs[1:3]
        total += macs if parameters[:1] and parameters[0] in trained else 0
        reached = reached or any(tensor in trained for tensor in parameters)
    return total
