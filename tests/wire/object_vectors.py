"""Test vectors of objects: updates, differences, base files, and which tensors an update has."""

import struct

import numpy as np

from tests.wire.message_vectors import TEXT, VERSION
from tflite_models.layout import Layout, Slot
from tflite_models.scope import scope_of
from wire.base import Form, Run
from wire.base import coded as coded_base
from wire.codec import CODECS
from wire.difference import CARRIED, CODED, WHOLE, Codes, Frame, carried, changed_scales, check_of
from wire.difference import coded as coded_difference
from wire.difference import packed as packed_difference
from wire.packing import pack

# Not qsgd and drive, whose dice and sums are NumPy's own.
VECTORED = [
    (CODECS[name], budget)
    for name, budget in (
        *(("int8", 0), ("float32", 0), ("microfed", 8), ("microfed", 100)),
        *(("float16", 0), ("topk", 0), ("stc", 0), ("signsgd", 0)),
        *(("peaks", 4), ("peaks", 20)),
    )
]


def updates():
    """Deltas, what they are coded as, and what that decodes to; as float32 in hex."""
    rare = np.zeros(300, np.float32)
    rare[::50] = [1, -1, 0.5, 0.25, -0.5, 2]
    cases = {
        "two tensors with values, one of zeros": ([1.27, -0.64, 0, 0, 0, 254, -2], [0, 3, 4, 7]),
        "halves are rounded to even": ([127, 0.5, 1.5, 2.5, -0.5, -1.5], [0, 6]),
        "nine tensors need two bytes of flags": (list(range(9)), list(range(10))),
        "a tensor with nothing unmasked": ([1, -1], [0, 0, 2]),
        "nothing but zeros": ([0, 0, 0], [0, 1, 3]),
        "mostly zeros: deflated": (rare, [0, 300]),
    }
    rows = []
    for name, (values, bounds) in cases.items():
        delta = np.array(values, np.float32)
        for codec, budget in VECTORED:
            data = codec.encode(delta, tuple(bounds), budget)
            row = {
                "name": name,
                "codec": codec.name,
                "budget": budget,
                "bounds": bounds,
                "delta": delta.astype("<f4").tobytes().hex(),
                "hex": data.hex(),
                "decoded": codec.decode(data, delta.size, tuple(bounds))
                .astype("<f4")
                .tobytes()
                .hex(),
            }
            rows.append(row)
    return {"good": rows, "refused": _refused_updates()}


def _refused_updates():
    one = struct.pack("<f", 1.0).hex()
    wrong = {
        "a flag of no tensor": "02" + one + "00 01",
        "a scale of zero": "01 00000000 00 01",
        "the code -128": "01" + one + "00 80",
        "two codes for one value": "01" + one + "00 01 02",
        "an unknown method": "01" + one + "07 01",
    }
    refused = [
        {"why": why, "codec": "int8", "bounds": [0, 1], "hex": bytes.fromhex(text).hex()}
        for why, text in wrong.items()
    ]
    ours = {
        "an empty message": "",
        "a message of ones": "ff ff ff ff",
        "bytes after the last value": "00 00 00 00 00 00 00 00 00 00",
    }
    refused += [
        {"why": f"{size} bytes of peaks of eight values", "codec": "peaks"}
        | {"bounds": [0, 8], "hex": bytes(size).hex()}
        for size in (2, 4)
    ]
    refused += [
        {"why": why, "codec": "microfed", "bounds": [0, 1], "hex": bytes.fromhex(text).hex()}
        for why, text in ours.items()
    ]
    return refused


def differences():
    """Two versions of a model's codes and scales, and the object between them."""
    old, mask, channels = VERSION, [True, False, True, True], [0, 0, 1, 2]
    frame = Frame(np.array(mask), np.int32(channels))
    cases = {
        "a scale and three codes change": ([6, 0, -10, 300], [0.5, 0.25, 4.0]),
        "nothing changes": ([5, 0, -7, 100], [0.5, 0.25, 2.0]),
        "every scale changes": ([5, 0, -7, 100], [1.0, 2.0, 4.0]),
        "the ends of int32": ([2**31 - 1, 0, -(2**31), 100], [0.5, 0.25, 2.0]),
    }
    rows = []
    for how in ("packed", "coded", "carried", "whole"):
        for name, (codes, scales) in cases.items():
            if how != "packed" and "int32" in name:
                continue
            new = Codes(np.int32(codes), np.float32(scales))
            rows.append(
                {
                    "name": name,
                    "how": how,
                    "mask": mask,
                    "channels": channels,
                    "old": _version(old),
                    "new": _version(new),
                    "hex": _difference(how, old, new, frame).hex(),
                }
            )
    return rows


def _version(version):
    return {
        "codes": version.codes.tolist(),
        "scales": version.scales.tolist(),
        "check": check_of(version),
    }


def _difference(how, old, new, frame):
    scales = changed_scales(old.scales, new.scales)
    origins = {
        "packed": (None, old.codes),
        "coded": (CODED, old.codes),
        "carried": (CARRIED, carried(old, new.scales, frame)),
        "whole": (WHOLE, np.zeros_like(old.codes)),
    }
    method, origin = origins[how]
    difference = (np.int64(new.codes) - origin)[frame.mask]
    if method is None:
        return packed_difference(scales, difference)
    return coded_difference(method, scales, difference)


def bases():
    """Files, where their numbers lie, and the objects that they are coded to."""
    factors = struct.pack("<4f", 0.5, 0.3, 0.7, 0.1)
    products = np.frombuffer(factors, "<f4", 3) * np.frombuffer(factors, "<f4", 1, 12)
    last_bits = np.int32([0, 1, -2])  # as a converter rounds
    weights = np.int8([5, 0, -1, 127, -128, 0, 0, 64, -33, 1])
    biases = np.int32([300, -290, 0, 2**31 - 1, -(2**31)])
    scales = (products.view("<i4") + last_bits).astype("<i4")
    file = b"head" + factors + b"middle" + weights.tobytes() + b".."
    runs = [Run(len(b"head") + 16 + 6, Form.INT8, 10)]
    runs.append(Run(len(file), Form.INT32, 5))
    file += biases.astype("<i4").tobytes()
    runs.append(Run(len(file), Form.PRODUCTS, 3, factors=4, factor=16))
    file += scales.tobytes() + b"tail"
    rare = np.zeros(300, np.int8)
    rare[::7] = 90
    cases = {
        "weights, biases and scales of biases": (file, tuple(runs)),
        "a rest that is deflated": (bytes(200) + rare.tobytes(), (Run(200, Form.INT8, 300),)),
    }
    return [
        {
            "name": name,
            "file": file.hex(),
            "runs": [{**run._asdict(), "form": run.form.name} for run in runs],
            "hex": coded_base(file, runs).hex(),
        }
        for name, (file, runs) in cases.items()
    ]


def packed():
    """Bytes and how they are packed: stored, and deflated."""
    return [
        {"data": data.hex(), "hex": pack(data).hex()}
        for data in (b"", b"abc", bytes(100), TEXT * 3)
    ]


def layout_of_sizes(sizes, mask):
    """A layout of tensors of those sizes; what else is in it does not matter here."""
    stops = np.cumsum(sizes).tolist()
    slots = [
        Slot(i, stop - size, stop, (size,), 0, i, i + 1, "weight", 1.0, -1)
        for i, (size, stop) in enumerate(zip(sizes, stops, strict=True))
    ]
    return Layout(tuple(slots), stops[-1], len(slots), np.array(mask, bool))


def trains():
    """Which parameters an update has, for some choices; and choices to refuse."""
    few, mask = [4, 2, 3, 2], [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    many = [1] * 10
    cases = [(few, mask, bits) for bits in ("", "0c", "05", "0f")]
    cases += [(many, [1] * 10, "aa02"), (many, [1, 0] * 5, "0300")]
    wrong = [(few, mask, "10"), (few, mask, "0c00"), (few, mask, "00"), (many, [1] * 10, "aa")]
    wrong += [(many, [1, 0] * 5, "0200")]

    def case(sizes, mask, bits):
        return {"tensors": sizes, "mask": mask, "trains": bits}

    good = []
    for each in cases:
        scope = scope_of(layout_of_sizes(*each[:2]), bytes.fromhex(each[2]))
        has = {"parameters": np.flatnonzero(scope.mask).tolist(), "bounds": list(scope.bounds)}
        good.append(case(*each) | has)
    return {"good": good, "refused": [case(*each) for each in wrong]}
