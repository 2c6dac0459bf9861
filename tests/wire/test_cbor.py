"""Messages as CBOR: literal bytes, the round trip, and what is refused."""

import math
import tracemalloc
from dataclasses import MISSING, FrozenInstanceError, fields, replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import messages
from wire.cbor import MAX_PAYLOAD, decode, encode
from wire.errors import WireError
from wire.fields import spec_of
from wire.items import MAX_DEPTH, MAX_ITEMS, read_item
from wire.messages import (
    MAX_BLOCK,
    TYPES,
    Announce,
    Block,
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
RECIPE = Recipe(epochs=1, batch=16, learning_rate=0.5)
MANIFEST = Manifest(Kind.DIFFERENCE, size=300, digest=SHA, source=3, target=4)
EXAMPLES = [
    Presence(session=7, status=Status.ONLINE),
    Hello(session=7, protocol=1, buffer=1024, samples=60, board="esp32", base=SHA, version=3),
    Announce(session=2, phase=Phase.TRAINING, round=5, version=4, base=SHA),
    Task(5, 4, SHA, RECIPE, "int8", seed=99, deadline=60, objects=(MANIFEST,)),
    Need(id=SHA[:8], block=256, first=1, bitmap=b"\x05"),
    Block(id=SHA[:8], index=1, total=2, crc=0xCBF43926, data=b"123456789"),
    Offer(5, SHA[:8], 4, "int8", 60, 2.5, 0.75, Manifest(Kind.UPDATE, 5000, SHA)),
    Verdict(round=5, nonce=SHA[:8], reason=Reason.ACCEPTED),
    Decline(round=5, reason=Refusal.BATTERY),
]


def test_a_presence_is_seven_bytes():
    #       map(3)  0: 1 Presence  1: session 7  2: status 1 ONLINE
    payload = bytes.fromhex("a3  00 01  01 07  02 01")
    assert encode(Presence(session=7, status=Status.ONLINE)) == payload
    assert decode(payload) == Presence(session=7, status=Status.ONLINE)


def test_a_need_reads_by_hand():
    payload = bytes.fromhex(
        "a5"  # map of 5
        "00 05"  # type: Need
        "01 48 0001020304050607"  # id: 8 bytes
        "02 19 0100"  # block: 256
        "03 01"  # first: 1
        "04 41 05"  # bitmap: blocks 1 and 3
    )
    assert encode(Need(SHA[:8], block=256, first=1, bitmap=b"\x05")) == payload
    assert decode(payload) == Need(SHA[:8], block=256, first=1, bitmap=b"\x05")


def test_reals_travel_in_the_shortest_float_that_holds_them_and_never_more_than_four_bytes():
    def learning_rate(rate):
        return encode(replace(EXAMPLES[3], recipe=replace(RECIPE, learning_rate=rate)))

    assert bytes.fromhex("03 f9 3800") in learning_rate(0.5)
    assert bytes.fromhex("03 fa 3dcccccd") in learning_rate(0.1)
    assert bytes.fromhex("03 f9 3c00") in learning_rate(1)
    assert decode(learning_rate(0.1)).recipe.learning_rate == 0.10000000149011612


def test_a_field_at_its_default_is_left_out():
    hello = Hello(session=7, protocol=1, buffer=256, samples=60, board="")
    assert encode(hello) == bytes.fromhex("a6 00 02 01 07 02 01 03 190100 04 183c 05 60")
    assert decode(encode(hello)) == hello


def test_an_offer_with_its_update_inside_does_not_send_the_manifest_of_it():
    data = b"\x01\x02\x03"
    offer = Offer(1, SHA[:8], 0, "int8", 9, 1.0, 0.5, manifest_of(Kind.UPDATE, data), data)
    assert 8 not in cbor2.loads(encode(offer))
    assert decode(encode(offer)) == offer
    outside = replace(offer, data=b"")
    assert 8 in cbor2.loads(encode(outside))
    other = replace(offer, manifest=replace(offer.manifest, digest=SHA))
    assert decode(encode(other)) == other


def test_an_offer_with_neither_manifest_nor_update_is_refused():
    body = cbor2.loads(encode(EXAMPLES[6]))
    del body[8]
    with pytest.raises(WireError, match=r"Offer.manifest \(key 8\): found nothing"):
        decode(cbor2.dumps(body))


@pytest.mark.parametrize("key", [1, 2, 3, 4, 5, 6, 7])
def test_an_update_is_not_hashed_for_an_offer_that_lacks_a_field(key, monkeypatch):
    data = b"\x01\x02\x03"
    body = cbor2.loads(encode(replace(EXAMPLES[6], data=data, manifest=MANIFEST)))
    del body[8], body[key]
    monkeypatch.setattr("wire.messages.digest_of", lambda _: pytest.fail("was hashed"))
    with pytest.raises(WireError, match=rf"Offer\.\w+ \(key {key}\): found nothing"):
        decode(cbor2.dumps(body))


@given(messages())
def test_every_message_survives_the_round_trip(message):
    assert decode(encode(message)) == message


@given(messages())
def test_every_payload_is_the_canonical_encoding_of_a_map_with_ascending_integer_keys(message):
    payload = encode(message)
    body = cbor2.loads(payload)
    assert cbor2.dumps(body, canonical=True) == payload
    assert list(body) == sorted(body)
    assert encode(decode(payload)) == payload


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_keys_may_come_in_any_order_and_unknown_ones_are_ignored(message):
    body = cbor2.loads(encode(message))
    strange = {1000: {1: [True, None, -3, "x", 1.5]}, 200: b"later"}
    reordered = {**strange, **dict(reversed(body.items()))}
    assert decode(cbor2.dumps(reordered)) == message


def _fields():
    """(an example message, the path to a part of it, one of the part's fields)."""
    for message in EXAMPLES:
        for f in fields(message):
            yield message, (), f
            if f.name == "recipe":
                yield from ((message, (4,), g) for g in fields(Recipe))
            if f.name == "objects":
                yield from ((message, (8, 0), g) for g in fields(Manifest))


FIELDS = [pytest.param(*case, id=f"{type(case[0]).__name__}.{case[2].name}") for case in _fields()]

_NOT = {
    "uint": [True, 1.0, "1", b"\x01", None, -1, [1], {1: 1}],
    "real": [1, True, "1.0", None, math.nan, math.inf, -math.inf, 1e39],
    "text": [1, b"text", None, ["text"]],
    "blob": [1, "blob", None, [0]],
    "record": [1, None, [], "x", {}, {1: 1}],
    "many": [1, None, {}, "x", [1], [[]], [{}]],
}


def _outside(spec):
    """Values of the right type just beyond the bounds."""
    match spec.kind:
        case "uint" if spec.enum is not None:
            return [max(spec.enum) + 1, 2**32]
        case "uint":
            return [spec.most + 1, 2**64 - 1] + ([spec.least - 1] if spec.least else [])
        case "text":
            return ["x" * (spec.most + 1), "é" * (spec.most // 2 + 1)]
        case "blob":
            return [bytes(spec.most + 1)] + ([bytes(spec.least - 1)] if spec.least else [])
        case "many":
            part = cbor2.loads(encode(EXAMPLES[3]))[8][0]
            return [[part] * (spec.most + 1)]
    return []


def _with(message, path, key, value):
    """The payload of `message` with one value of one part replaced."""
    body = cbor2.loads(encode(message))
    part = body
    for step in path:
        part = part[step]
    part[key] = value
    return cbor2.dumps(body)


@pytest.mark.parametrize(("message", "path", "f"), FIELDS)
def test_a_value_of_another_type_or_beyond_the_bounds_is_refused_by_name(message, path, f):
    spec = spec_of(f)
    assert decode(cbor2.dumps(cbor2.loads(encode(message)))) == message
    for value in [*_NOT[spec.kind], *_outside(spec)]:
        with pytest.raises(WireError) as caught:
            decode(_with(message, path, spec.key, value))
        where = "payload" if caught.value.where.startswith("payload") else f.name
        assert where in caught.value.where
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("message", "path", "f"), FIELDS)
def test_a_missing_field_is_its_default_or_refused_by_name(message, path, f):
    spec = spec_of(f)
    body = cbor2.loads(encode(message))
    part = body
    for step in path:
        part = part[step]
    part.pop(spec.key, None)
    if f.default is not MISSING:
        decode(cbor2.dumps(body))
        return
    with pytest.raises(WireError, match=rf"{f.name} \(key {spec.key}\): found nothing"):
        decode(cbor2.dumps(body))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_encoding_checks_the_same_bounds(message):
    for f in fields(message):
        spec = spec_of(f)
        wrong = [*_NOT[spec.kind], *_outside(spec)]
        if spec.kind == "real":
            wrong.remove(1)  # an int is a fine real in Python: it is sent as a float
        for value in wrong:
            with pytest.raises(WireError, match=f.name):
                encode(replace(message, **{f.name: value}))


@pytest.mark.parametrize("huge", [10**39, 10**400, -(10**400), 10**5000], ids=int.bit_length)
def test_an_integer_beyond_every_float_is_not_sent(huge):
    for field in ("loss_after", "samples"):
        found = f"Offer.{field}: found an integer of {huge.bit_length()} bits"
        with pytest.raises(WireError, match=found):
            encode(replace(EXAMPLES[6], **{field: huge}))


def test_text_that_is_not_unicode_is_not_sent():
    with pytest.raises(WireError, match=r"Hello.board"):
        encode(replace(EXAMPLES[1], board="\ud800"))


def test_an_error_says_where_what_and_what_is_allowed():
    with pytest.raises(WireError) as caught:
        decode(_with(EXAMPLES[6], (), 5, 2**20 + 1))
    error = caught.value
    assert error.where == "Offer.samples"
    assert str(error) == "Offer.samples: found 1048577, allowed an integer from 1 to 1048576"
    with pytest.raises(WireError, match=r"Task.objects\[0\].kind: found 9, allowed 1 BASE, 2 DIFF"):
        decode(_with(EXAMPLES[3], (8, 0), 1, 9))


REFUSED = {
    "nothing": "",
    "an integer": "01",
    "an array": "83 00 01 02",
    "no type": "a2 01 07 02 01",
    "type 0": "a3 00 00 01 07 02 01",
    "type 10": "a3 00 0a 01 07 02 01",
    "type true": "a3 00 f5 01 07 02 01",
    "type 1.0": "a3 00 f93c00 01 07 02 01",
    "a byte after it": "a3 00 01 01 07 02 01 00",
    "a second message": "a3 00 01 01 07 02 01 a3 00 01 01 07 02 01",
    "cut short": "a3 00 01 01 07 02",
    "a key twice": "a4 00 01 01 07 01 07 02 01",
    "a key twice, written differently": "a4 00 01 01 07 1801 07 02 01",
    "a text key": "a4 00 01 01 07 02 01 6178 00",
    "a negative key": "a4 00 01 01 07 02 01 20 00",
    "a float key": "a4 00 01 01 07 02 01 f93c00 00",
    "true as key 1": "a3 00 01 f5 07 02 01",
    "an array as key": "a4 00 01 01 07 02 01 80 00",
    "a map of indefinite length": "bf 00 01 01 07 02 01 ff",
    "an indefinite array": "a4 00 01 01 07 02 01 18ff 9f ff",
    "an indefinite string": "a4 00 01 01 07 02 01 18ff 5f 4101 ff",
    "an indefinite text": "a4 00 01 01 07 02 01 18ff 7f 6161 ff",
    "undefined": "a4 00 01 01 07 02 01 18ff f7",
    "a simple value": "a4 00 01 01 07 02 01 18ff f820",
    "a reserved length": "a4 00 01 01 07 02 01 18ff 1c",
    "text that is not UTF-8": "a4 00 01 01 07 02 01 18ff 62ffff",
    "4 GB in five bytes": "a4 00 01 01 07 02 01 18ff 5affffffff",
    "2^64 items": "a4 00 01 01 07 02 01 18ff 9bffffffffffffffff",
    "2^64 keys": "bbffffffffffffffff",
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED)
def test_what_is_not_one_message_is_refused(payload):
    with pytest.raises(WireError):
        decode(bytes.fromhex(payload))


def _head(major, n):
    head = bytearray(cbor2.dumps(n))
    head[0] |= major << 5
    return bytes(head)


TAGS = [*range(64), 100, *range(256, 263), 1004, 1040, 43000, 55799, 2**16, 2**32, 2**64 - 1]
TAGGED = ["01", "4101", "6161", "80", "820102", "a0", "a10102", "f6", "f93c00", "c101"]


@pytest.mark.parametrize("item", TAGGED)
def test_a_tag_is_refused_wherever_it_stands(item):
    for number in TAGS:
        tagged = _head(6, number) + bytes.fromhex(item)
        known = bytes.fromhex("a3 00 01 01") + tagged + bytes.fromhex("02 01")
        unknown = bytes.fromhex("a4 00 01 01 07 02 01 18ff") + tagged
        key = bytes.fromhex("a4 00 01 01 07 02 01") + tagged + b"\x00"
        nested = bytes.fromhex("a4 00 01 01 07 02 01 18ff 81 a1 01") + tagged
        whole = _head(6, number) + encode(EXAMPLES[0])
        for payload in (known, unknown, key, nested, whole):
            with pytest.raises(WireError, match=f"tag {number}, allowed no tags"):
                decode(payload)


def test_a_bignum_bomb_costs_nothing():
    bomb = bytes.fromhex("a3 00 01 01 c2") + _head(2, 100_000) + b"\xff" * 100_000
    with pytest.raises(WireError, match="tag 2"):
        decode(bomb + bytes.fromhex("02 01"))


def test_deep_nesting_and_crowds_are_refused():
    deep = bytes.fromhex("a4 00 01 01 07 02 01 18ff") + b"\x81" * (MAX_DEPTH + 1) + b"\x00"
    crowd = bytes.fromhex("a4 00 01 01 07 02 01 18ff") + _head(4, MAX_ITEMS) + b"\x00" * MAX_ITEMS
    for payload in (deep, crowd, b"\x81" * MAX_PAYLOAD, b"\x80" * MAX_PAYLOAD):
        with pytest.raises(WireError):
            decode(payload)


def _pairs(n):
    """A map of so many keys, of two bytes each."""
    return b"\xb8" + bytes([n]) + b"".join(bytes([24, i, 0]) for i in range(n))


def test_the_limits_hold_to_the_item_and_to_the_level():
    last = MAX_ITEMS - 1  # beside the array itself; a pair counts twice
    for level in (b"\x81", b"\xa1\x01"):
        assert read_item(level * (MAX_DEPTH - 1) + b"\x80")
        for deepest in (b"\x80", b"\x00"):
            with pytest.raises(WireError, match="more items"):
                read_item(level * MAX_DEPTH + deepest)
    assert len(read_item(_head(4, last) + bytes(last))) == last
    assert len(read_item(_pairs(last // 2))) == last // 2
    for crowd in (_head(4, last + 1) + bytes(last + 1), b"\x83" + _pairs(last // 2) + bytes(2)):
        with pytest.raises(WireError, match="more items"):
            read_item(crowd)


def test_what_is_in_a_map_or_an_array_leaves_less_room_for_all_that_follows():
    for part, last in ((_pairs(70), _pairs(1)), (_head(4, 140) + bytes(140), b"\x82" + bytes(2))):
        assert len(read_item(b"\x82" + part + last)) == 2
        with pytest.raises(WireError, match="more items"):
            read_item(b"\x83" + part + part + last)


def test_the_memory_of_reading_is_that_of_a_few_objects_and_of_the_strings():
    items = (b"\x00", b"\xfb" + bytes(8), b"\x1b" + b"\xff" * 8, b"\x64\xf0\x9f\x98\x80", b"\x80")
    crowds = [_head(4, MAX_ITEMS - 1) + item * (MAX_ITEMS - 1) for item in items]
    text = b"a" * 100_000 + "\U0001f600".encode()  # the last makes every character four bytes
    for data, most in (
        *((crowd, 40_000) for crowd in crowds),
        (_head(3, len(text)) + text, 602_000),
    ):
        tracemalloc.start()
        read_item(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


@pytest.mark.parametrize("info", [28, 29, 30])
def test_reserved_lengths_are_refused_whatever_follows(info):
    for major in range(8):
        with pytest.raises(WireError, match=f"additional information {info}"):
            read_item(bytes([major << 5 | info]) + bytes(64))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_that_was_read_is_as_one_that_was_made(message):
    read = decode(encode(message))
    assert (read, hash(read), repr(read)) == (message, hash(message), repr(message))
    assert replace(read) == read
    for f in fields(read):
        with pytest.raises(FrozenInstanceError):
            setattr(read, f.name, getattr(read, f.name))


def test_the_largest_payload_is_a_full_block():
    block = Block(SHA[:8], 2**32 - 1, 2**32 - 1, 2**32 - 1, bytes(MAX_BLOCK))
    assert len(encode(block)) <= MAX_PAYLOAD
    assert decode(encode(block)) == block
    with pytest.raises(WireError, match="payload: found"):
        decode(bytes(MAX_PAYLOAD + 1))


_UINTS = st.integers(0, 2**64 - 1)
_ITEMS = st.recursive(
    st.one_of(
        _UINTS,
        st.integers(-(2**64), -1),
        st.binary(max_size=40),
        st.text(max_size=40),
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_UINTS, inner, max_size=4),
    max_leaves=6,
)


@given(_ITEMS, st.booleans())
def test_the_reader_agrees_with_a_general_cbor_library(item, canonical):
    assert read_item(cbor2.dumps(item, canonical=canonical)) == item


def test_every_type_has_an_example_here():
    assert [type(message) for message in EXAMPLES] == list(TYPES.values())
