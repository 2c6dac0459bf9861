"""Whatever anybody publishes: no crash, no growth, every refusal counted."""

import tracemalloc
import zlib
from dataclasses import fields

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.versions import Held
from wire.cbor import encode
from wire.fields import spec_of
from wire.messages import (
    Block,
    Decline,
    Hello,
    Kind,
    Manifest,
    Need,
    Offer,
    Presence,
    Reason,
    Refusal,
    Status,
    Task,
    Verdict,
)
from wire.objects import manifest_of

EXAMPLES, EACH = 300, 20  # 6,000 payloads
MOST_DEVICES = 40


def test_thousands_of_hostile_payloads_do_no_harm(rig, device, record_property):
    world = rig(wanted=2, rounds=2, codec="float32", max_devices=MOST_DEVICES, deadline=80_000)
    world.add(device("a"), device("b")).pump(until=lambda: world.coordinator.online == 2)
    base = world.versions.objects_for(Held(b"", 0, 0), 0)[0]
    seen = {"payloads": 0, "refused": 0}

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(topics, payloads(world, base)), min_size=EACH, max_size=EACH))
    def attack(messages):
        for topic, payload in messages:
            world.coordinator.handle(topic, payload, world.now)
            seen["payloads"] += 1
        world.post.flush()
        world.now += 1.0
        world.coordinator.tick(world.now)
        verdicts = [message for _, message in world.sent if isinstance(message, Verdict)]
        seen["refused"] += sum(v.reason is not Reason.ACCEPTED for v in verdicts)
        assert_bounded(world)
        world.sent.clear()
        world.queue.clear()

    attack()
    counted = world.refusals()
    record_property("payloads", seen["payloads"])
    record_property("refused", sum(counted.values()))
    assert seen["payloads"] >= 5000
    assert sum(counted.values()) >= seen["refused"] > 50
    assert {Reason.MALFORMED, Reason.FOREIGN, Reason.STALE, Reason.LATE} <= set(counted)

    # The strangers leave, the spoilt round comes to nothing, and the honest two finish their run.
    for name in world.coordinator._registry.here().ids:
        world.raw(f"microfed/v1/lab/d/{name}/state", encode(Presence(2**32 - 1, Status.LOST)))
    assert world.coordinator.online == 0
    for member in world.devices.values():
        member.offer = None
        member.session = 2**32 - 2
        world.up(member.name, member.connect())
    world.pump().wait(80_000)
    assert world.course.finished


def assert_bounded(world):
    """Everything that a device can make grow stays within what the cohort and the settings say."""
    coordinator = world.coordinator
    assert len(coordinator._registry) <= MOST_DEVICES
    assert set(coordinator._transfers._pulls) <= {"a", "b"}
    assert coordinator._transfers._bytes <= 2 * (4 * world.versions.size + 1024)
    assert set(coordinator.state.answers) <= {"a", "b"}
    assert len(coordinator.state.earlier) <= MOST_DEVICES
    assert len(world.versions._coded) == len(world.versions._ids) == 0
    assert not world.post._waiting
    assert len(world.sent) <= EACH * 32, "an answer is at most a window of blocks"
    rows = world.store._db.execute("SELECT count(*) FROM refusals").fetchone()[0]
    assert rows <= 10 * (2 * MOST_DEVICES + 1)


def test_every_payload_that_is_no_message_is_counted_once(rig, device):
    world = rig(wanted=2).add(device("a")).pump()
    count = 0

    @settings(max_examples=300)
    @given(st.binary(max_size=200), st.sampled_from(["up", "state"]))
    def attack(payload, channel):
        nonlocal count
        before = sum(world.refusals().values())
        world.coordinator.handle(f"microfed/v1/lab/d/a/{channel}", payload, 0.0)
        count += 1
        assert sum(world.refusals().values()) == before + 1

    attack()
    assert world.refusals() == {Reason.MALFORMED: count}


def test_an_update_that_inflates_without_end_is_refused_in_little_memory(rig, device):
    world = rig(wanted=1, codec="int8").add(device("a"))
    world.pump(until=lambda: world.devices["a"].layout is not None)
    world.coordinator._transfers.clear()
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(bytes(2_000_000)) + stream.flush()
    tensors = len(world.versions.bounds) - 1
    flags = ((1 << tensors) - 1).to_bytes((tensors + 7) // 8, "little")
    update = flags + b"\x00\x00\x80\x3f" * tensors + b"\x01" + bomb
    member = world.devices["a"]
    task = next(m for _, m in reversed(world.sent) if isinstance(m, Task))
    offer = member.make_offer(task, update, data=update)
    assert len(update) < 4 * world.versions.size + 1024
    tracemalloc.start()
    assert world.say("a", offer) == [Verdict(1, offer.nonce, Reason.MALFORMED)]
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


names = st.one_of(
    st.sampled_from(["a", "b", "a", "b", "mallory"]),
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
)
topics = st.one_of(
    st.builds("microfed/v1/lab/d/{}/up".format, names),
    st.builds("microfed/v1/lab/d/{}/up".format, names),
    st.builds("microfed/v1/lab/d/{}/up".format, names),
    st.builds("microfed/v1/lab/d/{}/state".format, names),
    st.sampled_from(["", "microfed/v1/lab/a/round", "microfed/v1/lab/d//up", "$SYS/x", "é/#"]),
)


def _values(spec):
    match spec.kind:
        case "uint" if spec.enum:
            return st.sampled_from(spec.enum)
        case "uint":
            return st.integers(spec.least, min(spec.most, spec.least + 3)) | st.integers(
                spec.least, spec.most
            )
        case "real":
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        case "text":
            return st.sampled_from(["float32", "int8", ""])
        case "blob":
            return st.binary(min_size=spec.least, max_size=min(spec.most, spec.least + 40))
        case "record":
            return messages(spec.of)
        case _:
            return st.lists(messages(spec.of), max_size=min(spec.most, 2)).map(tuple)


def messages(cls):
    return st.builds(cls, **{f.name: _values(spec_of(f)) for f in fields(cls)})


def payloads(world, base):
    """Noise; honest messages with some bytes changed; well-formed messages that say anything."""
    size = world.versions.size
    update = bytes(4 * size)
    real = [
        Hello(1, 1, 256, 5, "esp32"),
        Hello(2, 1, 1024, 5, "esp32", world.versions.digest, 0),
        Presence(1, Status.LOST),
        Need(base.id, 256, 0, b"\xff"),
        Need(base.id, 16, 2**32 - 1, b"\xff" * 64),
        Decline(1, Refusal.BATTERY),
        Offer(1, b"nonce--1", 0, "float32", 10, 1.0, 0.5, manifest_of(Kind.UPDATE, update[:-4])),
        Offer(
            1, b"nonce--2", 0, "float32", 10, 1.0, 0.5, manifest_of(Kind.UPDATE, b"x" * 4 * size)
        ),
        Offer(1, b"nonce--3", 0, "float32", 1, 1.0, 0.5, manifest_of(Kind.UPDATE, b"xyz"), b"xyz"),
        Offer(
            1, b"nonce--4", 7, "float32", 1, 1.0, 0.5, Manifest(Kind.BASE, 16 * 2**20, bytes(32))
        ),
        Block(manifest_of(Kind.UPDATE, update).id, 0, 9, 1, b"x" * 256),
        Verdict(1, bytes(8), Reason.ACCEPTED),
    ]
    encoded = st.sampled_from([encode(message) for message in real])
    anything = st.one_of(*(messages(type(m)) for m in real)).map(encode)
    return st.one_of(
        st.binary(max_size=300),
        encoded,
        st.builds(
            _mutated,
            encoded,
            st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
        ),
        st.builds(lambda payload, end: payload[:end], encoded, st.integers(0, 60)),
        anything,
    )


def _mutated(payload, changes):
    spoilt = bytearray(payload)
    for at, value in changes:
        spoilt[at % len(spoilt)] = value
    return bytes(spoilt)
