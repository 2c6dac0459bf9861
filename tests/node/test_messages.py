"""The node reads and writes messages as wire/ does: the same bytes, the same refusals."""

import ctypes
import json
from pathlib import Path

from hypothesis import given, settings

from tests.wire.strategies import damaged, messages, payloads
from wire.cbor import decode, encode
from wire.errors import WireError
from wire.messages import Offer

VECTORS = Path(__file__).parents[2] / "docs/vectors"
STRUCT = 1024  # bytes: more than an mf_message has


def again(node, payload: bytes) -> bytes | None:
    """The payload read and written once more by the node; None: it refuses it."""
    message, out = ctypes.create_string_buffer(STRUCT), ctypes.create_string_buffer(2048)
    node.mf_message_read.restype = ctypes.c_bool
    if not node.mf_message_read(message, payload, len(payload)):
        return None
    size = node.mf_message_write(message, out, len(out))
    assert size <= len(out)
    return out.raw[:size]


def expected(payload: bytes) -> bytes | None:
    try:
        return encode(decode(payload))
    except WireError:
        return None


def doubled(payload: bytes) -> bool:
    """An Offer that brings its data may name it too; the node leaves in what came."""
    message = decode(payload)
    return isinstance(message, Offer) and bool(message.data)


def test_every_vector_is_read_and_written_to_the_byte(node):
    for vector in json.loads((VECTORS / "messages.json").read_text()):
        payload = bytes.fromhex(vector["hex"])
        assert again(node, payload) == payload, vector["name"]


def test_what_the_vectors_refuse_is_refused(node):
    for vector in json.loads((VECTORS / "refused.json").read_text()):
        assert again(node, bytes.fromhex(vector["hex"])) is None, vector["why"]


@settings(max_examples=400, deadline=None)
@given(message=messages())
def test_any_message_comes_back_as_it_was(node, message):
    payload = encode(message)
    assert again(node, payload) == payload or doubled(payload)


@settings(max_examples=800, deadline=None)
@given(payload=payloads())
def test_the_node_takes_what_wire_takes_and_refuses_the_rest(node, payload):
    wanted, found = expected(payload), again(node, payload)
    assert (found is None) == (wanted is None)
    assert found == wanted or doubled(payload)


@settings(max_examples=500, deadline=None)
@given(payload=damaged(messages().map(encode)))
def test_what_was_damaged_on_the_way_is_judged_alike(node, payload):
    assert (again(node, payload) is None) == (expected(payload) is None)


def test_a_message_that_does_not_fit_is_only_measured(node):
    payload = bytes.fromhex("a3000101070201")
    message, out = ctypes.create_string_buffer(STRUCT), ctypes.create_string_buffer(b"\x55" * 8)
    assert node.mf_message_read(message, payload, len(payload))
    assert node.mf_message_write(message, out, 3) == len(payload)
    assert out.raw[3:] == b"\x55" * 5 + b"\0"
