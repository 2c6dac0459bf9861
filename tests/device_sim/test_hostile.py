"""Any bytes whatever: a device does not crash, does not grow, and counts what it refuses."""

import tracemalloc
from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.events import Received, Refused, Tick, Topic, Train
from device_sim.state import MAX_UNSETTLED
from wire.cbor import decode, encode
from wire.errors import WireError
from wire.fields import spec_of
from wire.messages import (
    TYPES,
    Kind,
    Manifest,
    Need,
    Offer,
    Reason,
    Verdict,
)

PAYLOADS = 12  # in each example
EXAMPLES = 450


def some(spec, known):
    """Values that a field allows, the telling ones often."""
    match spec.kind:
        case "uint" if spec.enum:
            return st.sampled_from(spec.enum)
        case "uint":
            small = st.integers(spec.least, min(spec.most, spec.least + 4))
            return small | st.integers(spec.least, spec.most)
        case "real":
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        case "text":
            return st.sampled_from(["int8", "float32", ""])
        case "blob":
            length = st.binary(min_size=spec.least, max_size=min(spec.most, 64))
            fitting = [b for b in known if spec.least <= len(b) <= spec.most]
            return length | st.sampled_from(fitting) if fitting else length
        case "record":
            return messages(spec.of, known)
        case "many":
            return st.lists(messages(spec.of, known), max_size=spec.most).map(tuple)
    raise AssertionError(spec)


def messages(cls, known):
    """Well-formed messages of one type with any content."""
    values = {f.name: some(spec_of(f), known) for f in fields(cls)}
    return st.builds(cls, **values)


def damaged(payloads):
    """A payload with some bytes changed, cut off or put in, as three random bytes each say."""

    def damage(payload, recipe):
        data = bytearray(payload)
        for kind, place, value in zip(*[iter(recipe)] * 3, strict=False):
            at = place * (len(data) + 1) // 256
            match kind % 4:
                case 0:
                    data[at : at + 1] = [value]
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = bytes([value]) * (value % 8)
                case _:
                    del data[at : at + value % 8]
        return bytes(data)

    return st.builds(damage, payloads, st.binary(min_size=3, max_size=12))


def is_message(payload):
    try:
        decode(payload)
    except WireError:
        return False
    return True


def test_arbitrary_and_mutated_payloads_are_survived_bounded_and_counted(
    bench, world, record_property
):
    fed = refused = 0
    first = bench()
    models = first.device.traits.models
    to_one = world.difference(0, 1)
    ids = [world.base.id, to_one.id, world.digest, world.base.digest, to_one.digest]
    task = world.task(1, 1, objects=(world.base, to_one))
    [need] = first.hear(task)
    blocks = world.blocks(need)
    first.pull(world, [need])  # keeps the model in memory: reading it again and again is slow
    sensible = [task, world.announce(), *blocks, replace(task, round=2, objects=())]
    everything = st.one_of([messages(cls, ids) for cls in TYPES.values()])
    genuine = st.sampled_from([encode(m) for m in sensible]) | everything.map(encode)
    payloads = st.one_of(st.binary(max_size=200), genuine, damaged(genuine))
    topics = st.sampled_from([Topic.DOWN, Topic.DOWN, Topic.DOWN, Topic.ANNOUNCE])
    steps = st.tuples(topics, payloads, st.floats(0, 5))

    @settings(max_examples=EXAMPLES)
    @given(st.lists(steps, min_size=PAYLOADS, max_size=PAYLOADS))
    def run(script):
        nonlocal fed, refused
        device = bench(models=models, flash=2**16)
        for topic, payload, pause in script:
            fed += 1
            before = device.device
            effects = device.feed(Received(topic, payload))
            refused += any(isinstance(effect, Refused) for effect in effects)
            if not before.left and not is_message(payload):
                assert effects == [Refused("malformed")]
                assert device.device == before
            elif not before.left and topic is Topic.DOWN:
                assert effects or device.device != before, "neither used nor counted"
            assert is_bounded(device.device)
            for effect in effects:
                if isinstance(effect, Train):
                    device.train(bytes(1000))
            device.now += pause
            device.feed(Tick())
        still_works(device, world)

    run()
    record_property("payloads", fed)
    record_property("refused", refused)
    assert fed >= 5000


def is_bounded(device):
    pull, job = device.pull, device.job
    return (
        len(device.unsettled) <= MAX_UNSETTLED
        and all(offer.data == b"" for offer in device.unsettled)
        and (pull is None or pull.manifest.size <= device.traits.flash)
        and (job is None or len(job.task.objects) <= 2)
    )


def still_works(bench, world):
    """A new aggregator finds a device that takes part, unless it was told that the run is over."""
    if bench.device.left or bench.device.leave_at is not None:
        return
    bench.hear(world.announce(1, session=987654321))
    task = world.task(1, 0, objects=() if holds(bench.device, world) else (world.base,), seed=99)
    bench.pull(world, bench.hear(task))
    [offer] = [m for m in bench.train() if isinstance(m, Offer)]
    assert (offer.round, offer.version) == (1, 0)


def holds(device, world):
    return (
        device.model is not None
        and device.model.base.digest == world.digest
        and device.model.version == 0
    )


def test_tasks_with_huge_objects_do_not_make_a_device_grow(bench, world):
    device = bench(flash=2**16)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, 200):
            size = 2**16 if number % 2 else 2**24
            manifest = Manifest(Kind.BASE, size, number.to_bytes(32), 0, 0)
            device.hear(world.task(number, objects=(manifest,)))
            device.train(bytes(60_000))
            device.hear(
                Need(bytes(8), 256, 0, b"\xff" * 64), Verdict(number, bytes(8), Reason.LATE)
            )
            device.done.clear()
        used, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # CPython keeps up to 2,000 freed tuples of each length for the next: the records' too.
    kept = 400_000
    assert used - before < 2**16 + kept
    assert peak - before < 2 * 2**16 + kept


def test_a_base_file_of_any_bytes_is_refused_or_trained_but_never_a_crash(bench, world):
    """The digest is right, the content is not: what a hostile aggregator could send."""
    from hashlib import sha256

    from wire.base import pack_base
    from wire.objects import manifest_of

    file = st.sampled_from([world.file[:4000]])

    @settings(max_examples=150)
    @given(damaged(file))
    def run(data):
        device = bench()
        packed = pack_base(data)
        manifest = manifest_of(Kind.BASE, packed)
        world.objects[manifest.id] = packed
        task = replace(world.task(objects=(manifest,)), base=sha256(data).digest())
        device.pull(world, device.hear(task))
        del world.objects[manifest.id]
        assert device.did(Train) or device.device.job.declined is not None

    run()
