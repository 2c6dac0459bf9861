import os
from dataclasses import replace

from aggregator.transfers import Pulled, Transfers
from wire.blocks import serve
from wire.messages import Block, Kind, Need, Offer, Reason
from wire.objects import manifest_of

DATA = bytes(range(256)) * 12  # 3,072 bytes: 12 blocks of 256


def offer_of(data=DATA, nonce=b"12345678"):
    return Offer(1, nonce, 0, "int8", 5, 1.0, 0.5, manifest_of(Kind.UPDATE, data))


def answer(need, data=DATA):
    return serve(need, {need.id: data})


def test_an_update_is_pulled_window_by_window():
    transfers, asked = Transfers(), []
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    while isinstance(need, Need):
        asked.append(need)
        for block in answer(need):
            need = transfers.take("a", block, now=0.0)
    assert [n.bitmap for n in asked] == [b"\xff", b"\x0f"]
    assert need == Pulled(offer_of(), DATA)
    assert len(transfers) == 0


def test_blocks_may_come_in_any_order_and_twice():
    transfers = Transfers()
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    blocks = answer(need)
    for block in reversed(blocks[1:]):
        assert transfers.take("a", block, 0.0) is None
        assert transfers.take("a", block, 0.0) is Reason.DUPLICATE
    need = transfers.take("a", blocks[0], 0.0)
    assert (need.first, need.bitmap) == (8, b"\x0f")


def test_a_need_is_repeated_with_growing_patience_for_what_is_missing():
    transfers = Transfers()
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    transfers.take("a", answer(need)[0], now=0.0)
    assert transfers.due(1.9) == []
    [(device, again)] = transfers.due(2.0)
    assert (device, again.first, again.bitmap) == ("a", 1, b"\xff")
    gaps, now, last = [], 2.0, 2.0
    while len(gaps) < 5:
        now += 0.5
        if transfers.due(now):
            gaps.append(now - last)
            last = now
    assert gaps == [4.0, 8.0, 16.0, 30.0, 30.0]
    transfers.begin("a", offer_of(), 256, now)
    assert transfers.due(now + 2.0), "a device that offers again is there again"


def test_the_same_offer_again_goes_on_and_another_one_begins_anew():
    transfers = Transfers()
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    for block in answer(need)[:3]:
        transfers.take("a", block, 0.0)
    assert transfers.begin("a", offer_of(), 256, now=5.0).first == 3
    assert transfers.begin("a", offer_of(nonce=b"another1"), 256, now=5.0).first == 0
    assert len(transfers) == 1


def test_a_block_that_is_damaged_or_not_of_the_object_is_refused_and_asked_for_again():
    transfers = Transfers()
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    block = answer(need)[0]
    assert transfers.take("a", replace(block, crc=block.crc ^ 1), 0.0) is Reason.CORRUPT
    assert transfers.take("a", replace(block, total=11), 0.0) is Reason.MALFORMED
    assert transfers.take("a", replace(block, index=12), 0.0) is Reason.MALFORMED
    assert transfers.take("a", replace(block, data=b"x", crc=0x8CDC1683), 0.0) is Reason.MALFORMED
    assert transfers.take("b", block, 0.0) is Reason.STALE
    assert transfers.take("a", replace(block, id=b"????????"), 0.0) is Reason.STALE
    assert transfers.begin("a", offer_of(), 256, now=0.0) == need


def test_a_whole_object_with_another_digest_has_no_payload():
    transfers = Transfers()
    spoilt = DATA[:-1] + b"!"
    need = transfers.begin("a", offer_of(), 256, now=0.0)
    outcome = None
    while need is not None:
        for block in answer(need, spoilt):
            outcome = transfers.take("a", block, 0.0)
        need = outcome if isinstance(outcome, Need) else None
    assert outcome == Pulled(offer_of(), None)


def test_memory_is_bounded_and_a_stalled_transfer_makes_room():
    transfers = Transfers(most=2 * len(DATA))
    for name in "abc":
        data = os.urandom(len(DATA))
        begun = transfers.begin(name, offer_of(data), 256, now=0.0)
        assert (begun is None) == (name == "c")
    transfers.take("b", Block(b"????????", 0, 1, 0, b"x"), 0.0)
    for now in (2.0, 6.0):  # nobody answers
        transfers.due(now)
    assert transfers.begin("c", offer_of(), 256, now=6.0) is not None
    assert len(transfers) == 2


def test_a_round_that_is_over_frees_everything():
    transfers = Transfers(most=len(DATA))
    transfers.begin("a", offer_of(), 256, now=0.0)
    transfers.clear()
    assert transfers.begin("b", offer_of(), 256, now=0.0) is not None
