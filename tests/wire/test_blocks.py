"""Transfers in blocks: whatever is lost, repeated or reordered, the same object arrives."""

import hashlib
import tracemalloc
import zlib
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.blocks import (
    MAX_SERVED,
    MAX_SERVED_BYTES,
    WINDOW,
    Assembly,
    block_of,
    count,
    serve,
)
from wire.errors import CorruptObject, WireError
from wire.messages import MAX_BLOCK, MAX_OBJECT, Block, Kind, Manifest, Need
from wire.objects import manifest_of

TEXT = b"the quick brown fox jumps over the lazy dog"  # 43 bytes: 16 + 16 + 11
MANIFEST = manifest_of(Kind.BASE, TEXT)


def test_the_last_block_is_shorter():
    assert count(43, 16) == 3
    assert count(48, 16) == 3
    blocks = [block_of(TEXT, MANIFEST.id, i, 16) for i in range(3)]
    assert [b.data for b in blocks] == [b"the quick brown ", b"fox jumps over t", b"he lazy dog"]
    assert blocks[2] == Block(MANIFEST.id, 2, 3, zlib.crc32(b"he lazy dog"), b"he lazy dog")


def test_an_assembly_asks_for_what_it_lacks_and_no_more():
    assembly = Assembly(MANIFEST, 16)
    assert assembly.missing() == Need(MANIFEST.id, 16, 0, b"\x07")
    assert assembly.missing(window=2) == Need(MANIFEST.id, 16, 0, b"\x03")
    assembly.add(block_of(TEXT, MANIFEST.id, 1, 16))
    assert assembly.missing() == Need(MANIFEST.id, 16, 0, b"\x05")
    assembly.add(block_of(TEXT, MANIFEST.id, 0, 16))
    assert assembly.missing() == Need(MANIFEST.id, 16, 2, b"\x01")
    assert not assembly.done
    assembly.add(block_of(TEXT, MANIFEST.id, 2, 16))
    assert assembly.missing() is None
    assert assembly.done
    assert assembly.result() == TEXT


def test_a_need_reaches_over_what_is_here_already_but_not_beyond_its_bitmap():
    data = bytes(16 * 600)
    manifest = manifest_of(Kind.BASE, data)
    assembly = Assembly(manifest, 16)
    for index in range(1, 600):
        if index not in (511, 512):
            assembly.add(block_of(data, manifest.id, index, 16))
    need = assembly.missing()
    assert need.first == 0
    assert need.bitmap == b"\x01" + bytes(62) + b"\x80"  # blocks 0 and 511; 512 is out of reach


def test_a_block_counts_once():
    assembly = Assembly(MANIFEST, 16)
    block = block_of(TEXT, MANIFEST.id, 0, 16)
    assert assembly.add(block) is True
    assert assembly.add(block) is False


def test_a_sender_answers_with_the_blocks_asked_for():
    objects = {MANIFEST.id: TEXT}
    need = Need(MANIFEST.id, 16, 0, b"\x05")
    assert serve(need, objects) == tuple(block_of(TEXT, MANIFEST.id, i, 16) for i in (0, 2))
    assert serve(replace(need, bitmap=b"\x00"), objects) == ()
    assert serve(replace(need, first=3, bitmap=b"\xff" * 64), objects) == ()
    assert serve(replace(need, first=2**32 - 1), objects) == ()


def test_an_answer_is_bounded_however_much_is_asked_for():
    data = bytes(MAX_OBJECT)
    objects = {MANIFEST.id: data}
    everything = Need(MANIFEST.id, 16, 0, b"\xff" * 64)
    assert [b.index for b in serve(everything, objects)] == list(range(MAX_SERVED))
    large = serve(replace(everything, block=MAX_BLOCK), objects)
    assert sum(len(b.data) for b in large) == MAX_SERVED_BYTES
    assert WINDOW <= MAX_SERVED


def test_an_object_not_on_offer_is_refused_by_its_id():
    with pytest.raises(WireError, match=MANIFEST.id.hex()):
        serve(Need(MANIFEST.id, 16, 0, b"\x01"), {})


FIRST = block_of(TEXT, MANIFEST.id, 0, 16)
# fmt: off
WRONG = {
    "another object": (replace(FIRST, id=bytes(8)), WireError, "Block.id"),
    "another count": (replace(FIRST, total=4), WireError, "Block.total"),
    "an index beyond the end": (replace(FIRST, index=3), WireError, "Block.index"),
    "a short block": (replace(FIRST, data=b"x" * 15), WireError, "Block.data"),
    "a long block": (replace(FIRST, data=b"x" * 17), WireError, "Block.data"),
    "a long last block": (replace(FIRST, index=2), WireError, "Block.data"),
    "a wrong checksum": (replace(FIRST, crc=FIRST.crc ^ 1), CorruptObject, "Block.crc"),
    "changed data": (replace(FIRST, data=b"The quick brown "), CorruptObject, "Block.crc"),
}
# fmt: on


@pytest.mark.parametrize(("block", "error", "where"), WRONG.values(), ids=WRONG)
def test_a_block_that_does_not_belong_is_refused_and_changes_nothing(block, error, where):
    assembly = Assembly(MANIFEST, 16)
    with pytest.raises(error) as caught:
        assembly.add(block)
    assert caught.value.where == where
    assert assembly.missing() == Need(MANIFEST.id, 16, 0, b"\x07")


def test_an_object_that_does_not_hash_to_its_digest_is_dropped_and_can_be_pulled_again():
    assembly = Assembly(MANIFEST, 16)
    forged = b"the quick brown fox jumps over the lazy cat"
    for index in range(3):
        assembly.add(block_of(forged, MANIFEST.id, index, 16))
    with pytest.raises(CorruptObject, match=hashlib.sha256(forged).hexdigest()):
        assembly.result()
    assert assembly.missing() == Need(MANIFEST.id, 16, 0, b"\x07")
    for index in range(3):
        assembly.add(block_of(TEXT, MANIFEST.id, index, 16))
    assert assembly.result() == TEXT


@given(
    size=st.integers(1, 3000),
    block=st.integers(16, 300),
    window=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_any_loss_order_and_repetition_gives_the_same_object(size, block, window, seed):
    chance = Random(seed)
    data = chance.randbytes(size)
    manifest = manifest_of(Kind.UPDATE, data)
    assembly = Assembly(manifest, block)
    arrived = 0
    while (need := assembly.missing(window)) is not None:
        asked = serve(need, {manifest.id: data})
        assert 1 <= len(asked) <= window
        flight = [b for b in asked for _ in range(chance.choice((0, 0, 1, 1, 1, 2)))]
        chance.shuffle(flight)
        arrived += sum(assembly.add(b) for b in flight)
    assert arrived == count(len(data), block)
    assert assembly.result() == data


def test_an_assembly_holds_the_object_and_a_bit_for_each_block():
    size, block = 1_000_000, 1024
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    assembly = Assembly(Manifest(Kind.BASE, size, bytes(32)), block)
    for index in range(count(size, block)):
        last = min(block, size - index * block)
        piece = bytes(last)
        assembly.add(Block(bytes(8), index, count(size, block), zlib.crc32(piece), piece))
    held = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert assembly.done
    assert held < size + count(size, block) // 8 + 8192
