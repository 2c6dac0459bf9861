"""The float twin of an int8 .tflite graph, in NumPy."""

from device_sim.twin.twin import Twin

__all__ = ["Twin"]
