"""Test vectors of messages: good ones, those to refuse, and an object sent in blocks."""

import zlib
from dataclasses import fields, replace
from enum import IntEnum

import numpy as np

from wire.blocks import Assembly, block_of, serve
from wire.cbor import encode
from wire.difference import Codes, check_of
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
