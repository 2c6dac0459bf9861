"""Makes docs/vectors/*.json, the test vectors of docs/protocol.md.

    python tests/wire/make_vectors.py

Run it when the protocol grows; old vectors must not change.
"""

import json
import struct
import zlib
from dataclasses import fields, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from tflite_models.layout import Layout, Slot
from tflite_models.scope import scope_of
from wire.base import Form, Run
from wire.base import coded as coded_base
from wire.blocks import Assembly, block_of, serve
from wire.cbor import encode
from wire.codec import CODECS
from wire.difference import (
    CARRIED,
    CODED,
    WHOLE,
    Codes,
    Frame,
    carried,
    changed_scales,
    check_of,
)
from wire.difference import coded as coded_difference
from wire.difference import packed as packed_difference
from wire.fields import spec_of
from wire.messages import (
    TYPES,
    Announce,
    Decline,
    Hello,
    Kind,
    Manifest,
    Need,
    Offer,
    Phase,
    Presence,
    Reason,
    Recipe,
    Refusal,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of
from wire.packing import pack

VECTORS = Path(__file__).parents[2] / "docs" / "vectors"
SHA = bytes(range(32))
NONCE = bytes(range(0xA0, 0xA8))
VERSION = Codes(np.int32([5, 0, -7, 100]), np.float32([0.5, 0.25, 2.0]))
TEXT = b"the quick brown fox jumps over the lazy dog"


def plain(value):
    """A message, or a field of one, as JSON: bytes as hex, enums by name, parts as objects."""
    match value:
        case IntEnum():
            return value.name
        case bytes():
            return value.hex()
        case tuple():
            return [plain(item) for item in value]
        case int() | float() | str():
            return value
    return {f.name: plain(getattr(value, f.name)) for f in fields(value)}


def unplain(cls, body):
    """The message part of class `cls` that `plain` made `body` of."""
    values = {}
    for f in fields(cls):
        spec, value = spec_of(f), body[f.name]
        if spec.enum is not None:
            value = spec.enum[value]
        elif spec.kind == "blob":
            value = bytes.fromhex(value)
        elif spec.kind == "record":
            value = unplain(spec.of, value)
        elif spec.kind == "many":
            value = tuple(unplain(spec.of, item) for item in value)
        values[f.name] = value
    return cls(**values)


def messages():
    """Every message type, with and without its optional fields."""
    update = b"\x01\x0a\xd7\x23\x3c\x00\x7f\xc0\x00"
    recipe = Recipe(epochs=1, batch=16, learning_rate=0.5)
    full = Recipe(
        2,
        32,
        0.25,
        momentum=0.5,
        weight_decay=0.125,
        proximal=1.0,
        clip_norm=4.0,
        rotation=16.0,
        fake_quantize=1,
    )
    biases = replace(recipe, trains=b"\xaa\x02")
    base = Manifest(Kind.BASE, 20_000, SHA)
    difference = Manifest(Kind.DIFFERENCE, 300, SHA[::-1], source=0, target=4)
    offer = Offer(5, NONCE, 4, "int8", 60, 2.5, 0.75, manifest_of(Kind.UPDATE, update), update)
    named = {
        "a birth": Presence(7, Status.ONLINE),
        "a will": Presence(7, Status.LOST),
        "a new device": Hello(7, 1, 1024, 60, "esp32"),
        "a device that holds version 3": Hello(300, 1, 256, 60, "esp32", SHA, 3),
        "a device that says which version 3": Hello(
            300, 1, 256, 60, "esp32", SHA, 3, check_of(VERSION)
        ),
        "a device behind a gateway": Hello(
            8, 1, 1024, 60, "esp32", SHA, 3, check_of(VERSION), "gw-1"
        ),
        "a round has begun": Announce(2, Phase.TRAINING, 5, 4, SHA),
        "the run is over": Announce(2, Phase.FINISHED, 20, 20, SHA),
        "a task with nothing to pull": Task(5, 4, SHA, recipe, "int8", 99, 60, ()),
        "a task with all there is": Task(
            70_000, 4, SHA, full, "float32", 2**32 - 1, 3600, (base, difference)
        ),
        "a task with a budget": Task(5, 4, SHA, recipe, "microfed", 99, 60, (), budget=52),
        "a task that says which version 4": Task(
            5, 4, SHA, recipe, "int8", 99, 60, (), check_of(VERSION)
        ),
        "a task that trains tensors 1, 3, 5, 7 and 9": Task(5, 4, SHA, biases, "int8", 99, 60, ()),
        "a task with a short difference inside": Task(
            *(5, 4, SHA, recipe, "int8", 99, 60),
            objects=(manifest_of(Kind.DIFFERENCE, b"\x00\x00\x02\x05", 0, 4),),
            check=check_of(VERSION),
            data=b"\x00\x00\x02\x05",
        ),
        "a request for blocks 1 and 3": Need(SHA[:8], 256, 1, b"\x05"),
        "the last block of two": block_of(TEXT, manifest_of(Kind.BASE, TEXT).id, 1, 32),
        "an update inside its offer": offer,
        "an update that says which version 4": replace(offer, check=check_of(VERSION)),
        "an update of tensors 1, 3, 5, 7 and 9": replace(offer, trains=biases.trains),
        "an update to be pulled": replace(
            offer, data=b"", manifest=Manifest(Kind.UPDATE, 5000, SHA)
        ),
        "accepted": Verdict(5, NONCE, Reason.ACCEPTED),
        "too late": Verdict(5, NONCE, Reason.LATE),
        "no": Decline(5, Refusal.BATTERY),
    }
    numbers = {cls: number for number, cls in TYPES.items()}
    return [
        {
            "name": name,
            "message": type(message).__name__,
            "type": numbers[type(message)],
            "fields": plain(message),
            "hex": encode(message).hex(),
        }
        for name, message in named.items()
    ]


def refused():
    """Payloads that every receiver must ignore."""
    good = "a3 00 01 01 07 02 01"
    cases = {
        "empty": "",
        "cut short": "a3 00 01 01 07 02",
        "a byte after the message": good + " 00",
        "not a map": "83 00 01 01",
        "no type": "a2 01 07 02 01",
        "unknown type": "a3 00 18 63 01 07 02 01",
        "session is missing": "a2 00 01 02 01",
        "session is negative": "a3 00 01 01 20 02 01",
        "session is a float": "a3 00 01 01 f9 3c00 02 01",
        "session is true": "a3 00 01 01 f5 02 01",
        "session is beyond 32 bits": "a3 00 01 01 1b 0000000100000000 02 01",
        "status 9": "a3 00 01 01 07 02 09",
        "key 1 twice": "a4 00 01 01 07 01 08 02 01",
        "a text as key": "a4 00 01 01 07 02 01 61 78 00",
        "a tag": "a3 00 01 01 c1 07 02 01",
        "an unknown key with a tag": "a4 00 01 01 07 02 01 18 64 c2 41 01",
        "indefinite length": "bf 00 01 01 07 02 01 ff",
        "a bitmap of 65 bytes": "a5 00 05 01 48 0001020304050607 02 10 03 00 04 58 41" + " ff" * 65,
        "a learning rate that is no number": (
            "a9 00 04 01 05 02 04 03 58 20" + SHA.hex() + "04 a3 01 01 02 10 03 f9 7e00"
            "05 64 696e7438 06 18 63 07 18 3c 08 80"
        ),
    }
    return [{"why": why, "hex": bytes.fromhex(text).hex()} for why, text in cases.items()]


def transfer():
    """An object of three blocks: the second is lost at first, the third arrives twice."""
    manifest = manifest_of(Kind.BASE, TEXT)
    assembly = Assembly(manifest, 16)
    steps = []

    def ask():
        need = assembly.missing()
        steps.append({"receiver": "Need", "hex": encode(need).hex()})
        return serve(need, {manifest.id: TEXT})

    first, _, third = ask()
    for block in (third, first, third):
        new = assembly.add(block)
        steps.append({"sender": "Block", "new": new, "hex": encode(block).hex()})
    (second,) = ask()
    new = assembly.add(second)
    steps.append({"sender": "Block", "new": new, "hex": encode(second).hex()})
    return {
        "object": TEXT.hex(),
        "manifest": plain(manifest),
        "block": 16,
        "steps": steps,
        "refused": [
            {"why": "CRC-32 is wrong", "hex": encode(replace(third, crc=third.crc ^ 1)).hex()},
            {"why": "another total", "hex": encode(replace(third, total=4)).hex()},
            {"why": "too short", "hex": encode(_shortened(third)).hex()},
        ],
    }


def _shortened(block):
    data = block.data[:-1]
    return replace(block, data=data, crc=zlib.crc32(data))


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
    return {"good": rows, "refused": refused}


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
