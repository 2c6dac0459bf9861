"""Model versions on the node: pulled, applied, written and read as the simulator has them."""

import ctypes
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.int8 import Int8Model
from tests.node.conftest import FILE
from tests.node.flash import PAGE, Flash
from tests.node.test_messages import VECTORS
from tflite_models.graph import read_graph
from tflite_models.parameters import Weights, layout_of, patch, weights_of
from wire.difference import (
    CARRIED,
    CODED,
    WHOLE,
    Codes,
    Frame,
    apply_difference,
    carried,
    changed_scales,
    check_of,
    coded,
    packed,
)
from wire.errors import WireError

GRAPH = read_graph(FILE.read_bytes())
LAYOUT = layout_of(GRAPH)
START = weights_of(GRAPH, LAYOUT)
OLD = Codes(START.codes, START.scales)
FRAME = Frame(LAYOUT.mask, LAYOUT.channels)
PACKED = 1  # in the packed bytes of wire.packing, stored or deflated
WAYS = (PACKED, CODED, CARRIED, WHOLE)
I32, F32 = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_float)
BAD_DATA = 7
NEW, REPEATED, DAMAGED = range(3)  # mf_block_is
HEADER = 20  # bytes of the page that makes a record whole


def model(node):
    """The tables that the library was compiled with."""
    return ctypes.byref(ctypes.c_char.in_dll(node, "model"))


def body(node, flash):
    """The version that the node would run after a reset."""
    node.mf_version_newest.restype = ctypes.c_void_p
    return ctypes.c_void_p(node.mf_version_newest(model(node), flash.at))


def held(node, at) -> Codes:
    """A body as Python has it."""
    unmasked = np.zeros(LAYOUT.size, np.int32)
    scales = np.zeros(LAYOUT.scales, np.float32)
    node.mf_body_codes(model(node), at, unmasked.ctypes.data_as(I32))
    node.mf_body_scales(model(node), at, scales.ctypes.data_as(F32))
    codes = np.zeros(LAYOUT.size, np.int32)
    codes[LAYOUT.mask] = unmasked[: LAYOUT.mask.sum()]
    return Codes(codes, scales)


def same(one: Codes, other: Codes) -> bool:
    return np.array_equal(one.codes, other.codes) and np.array_equal(one.scales, other.scales)


def applied(node, old: Codes, data: bytes) -> Codes | None:
    """The node's apply_difference; None: it refuses."""
    codes, scales = old.codes[LAYOUT.mask].copy(), old.scales.copy()
    status = node.mf_difference_apply(
        *(model(node), data, len(data), codes.ctypes.data_as(I32), scales.ctypes.data_as(F32)),
        ctypes.create_string_buffer(8192),
    )
    assert status in (0, BAD_DATA)
    whole = old.codes.copy()
    whole[LAYOUT.mask] = codes
    return None if status else Codes(whole, scales)


def write(node, flash, version: int, new: Codes) -> bool:
    node.mf_version_write.restype = ctypes.c_void_p
    codes = new.codes[LAYOUT.mask].copy()
    return bool(
        node.mf_version_write(
            *(model(node), flash.at, version),
            *(codes.ctypes.data_as(I32), new.scales.ctypes.data_as(F32)),
        )
    )


def changed(seed: int) -> Codes:
    """Another version: some codes moved, a few scales grown."""
    rng = np.random.default_rng(seed)
    codes, scales = OLD.codes.copy(), OLD.scales.copy()
    for slot in LAYOUT.slots:
        moved = codes[slot.start : slot.stop] + rng.integers(-9, 10, slot.stop - slot.start)
        codes[slot.start : slot.stop] = moved if slot.kind == "bias" else np.clip(moved, -127, 127)
    codes[~LAYOUT.mask] = 0
    scales[rng.random(scales.size) < 0.3] *= np.float32(1.1)
    return Codes(codes, scales)


def difference_to(new: Codes, how: int) -> bytes:
    """What takes OLD to `new`, in one of the ways that there are."""
    scales, codes = changed_scales(OLD.scales, new.scales), new.codes.astype(np.int64)
    if how == CARRIED:
        codes -= carried(OLD, new.scales, FRAME)
    elif how != WHOLE:
        codes -= OLD.codes
    moves = codes[LAYOUT.mask]
    return packed(scales, moves) if how == PACKED else coded(how, scales, moves)


def test_the_base_file_is_held_as_python_reads_it(node):
    flash = Flash(16384)
    assert same(held(node, body(node, flash)), OLD)


@pytest.mark.parametrize("seed", range(4))
def test_a_version_is_written_and_read_back_to_the_bit(node, seed):
    flash, new = Flash(16384), changed(seed)
    assert write(node, flash, 7, new)
    at = body(node, flash)
    node.mf_body_check.restype = ctypes.c_uint32
    assert node.mf_body_version(at) == 7
    assert node.mf_body_check(at) == check_of(new)
    assert same(held(node, at), new)


def test_going_back_to_the_base_file_outlives_a_reset(node):
    flash = Flash(16384)
    write(node, flash, 3, changed(1))
    node.mf_version_forget(model(node), flash.at)
    assert same(held(node, body(node, flash)), OLD)
    assert write(node, flash, 4, changed(2))
    assert same(held(node, body(node, flash)), changed(2))


def test_a_weight_beyond_int8_is_not_written(node):
    flash, new = Flash(16384), changed(5)
    new.codes[LAYOUT.slots[0].start + int(np.flatnonzero(LAYOUT.mask)[0])] = 128
    assert not write(node, flash, 1, new)
    assert same(held(node, body(node, flash)), OLD)


@pytest.mark.parametrize("torn", [0, 1, 20, 63])
def test_a_loss_of_power_at_any_page_leaves_the_old_version(node, torn):
    before, after = changed(1), changed(2)
    flash = Flash(16384)
    for number in (1, 2):  # both places hold a version, and the older one is overwritten
        assert write(node, flash, number, before)
    memory = [bytes(area) for area in flash.areas]
    start = flash.operations
    assert write(node, flash, 3, after)
    operations = flash.operations - start
    assert operations > 5
    for cut in range(operations):
        for area, bytes_before in zip(flash.areas, memory, strict=True):
            ctypes.memmove(area, bytes_before, len(bytes_before))
        flash.power, flash.torn = flash.operations + cut, torn
        assert not write(node, flash, 3, after)
        flash.power = None
        last = cut == operations - 1 and torn >= HEADER  # of the page, all that matters is there
        wanted = after if last else before
        assert same(held(node, body(node, flash)), wanted), f"cut at operation {cut}"
        assert write(node, flash, 3, after)
        assert same(held(node, body(node, flash)), after)


def test_a_flipped_bit_in_flash_is_seen(node):
    flash = Flash(16384)
    write(node, flash, 1, changed(1))
    write(node, flash, 2, changed(2))
    newest = body(node, flash).value
    for offset in (*range(-PAGE, HEADER - PAGE), *range(0, 400, 7)):
        byte = ctypes.c_uint8.from_address(newest + offset)
        byte.value ^= 16
        assert same(held(node, body(node, flash)), changed(1))
        byte.value ^= 16


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", WAYS)
def test_a_difference_gives_what_it_gives_in_python(node, how, seed):
    new = changed(seed)
    assert same(applied(node, OLD, difference_to(new, how)), new)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), seed=st.integers(0, 5))
def test_damaged_differences_are_judged_as_python_judges_them(node, data, seed):
    difference = bytearray(difference_to(changed(seed), data.draw(st.sampled_from(WAYS))))
    if data.draw(st.booleans()):
        difference[0] = data.draw(st.integers(0, 5))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(difference) - 1))
        difference[at] ^= 1 << data.draw(st.integers(0, 7))
    difference = bytes(difference[: data.draw(st.integers(0, len(difference)))] or difference)
    try:
        wanted = apply_difference(difference, OLD, FRAME)
    except WireError:
        wanted = None
    found = applied(node, OLD, difference)
    assert (found is None) == (wanted is None)
    assert found is None or same(found, wanted)


def test_the_exchange_of_the_protocol(node):
    """docs/vectors/transfer.json: a loss, a repetition, and blocks to refuse."""
    transfer = json.loads((VECTORS / "transfer.json").read_text())
    assembly, memory = ctypes.create_string_buffer(128), ctypes.create_string_buffer(256)
    message, out = ctypes.create_string_buffer(512), ctypes.create_string_buffer(64)
    manifest = transfer["manifest"]
    numbers = np.array([1, manifest["size"]], "<u4").tobytes()
    digest = bytes.fromhex(manifest["digest"])
    node.mf_assembly_begin(assembly, numbers + digest + bytes(8), transfer["block"], memory)

    def arrives(payload: bytes) -> int:
        assert node.mf_message_read(message, payload, len(payload))
        return node.mf_assembly_add(assembly, ctypes.byref(message, 8))

    for step in transfer["steps"]:
        payload = bytes.fromhex(step["hex"])
        if "receiver" in step:
            bitmap = ctypes.create_string_buffer(64)
            ctypes.memmove(message, b"\x05\0\0\0\0\0\0\0", 8)
            assert node.mf_assembly_missing(assembly, 8, ctypes.byref(message, 8), bitmap) > 0
            size = node.mf_message_write(message, out, 64)
            assert out.raw[:size] == payload
            for refused in transfer["refused"]:
                assert arrives(bytes.fromhex(refused["hex"])) == DAMAGED, refused["why"]
        else:
            assert arrives(payload) == (NEW if step["new"] else REPEATED)
    assert node.mf_assembly_is_right(assembly)
    assert memory.raw[: manifest["size"]] == bytes.fromhex(transfer["object"])
    memory[0] = b"?"
    assert not node.mf_assembly_is_right(assembly)
    assert node.mf_assembly_missing(assembly, 8, ctypes.byref(message, 8), bitmap) == 3


def test_inference_on_a_version_is_that_of_the_patched_file(node):
    """Codes and scales from flash, multipliers derived on the device."""
    flash, rng = Flash(16384), np.random.default_rng(6)
    node.node_infer.restype = ctypes.c_bool
    for version, new in enumerate((OLD, changed(1), changed(2), changed(3))):
        if version:
            assert write(node, flash, version, new)
        file = patch(FILE.read_bytes(), LAYOUT, Weights(new.codes, new.scales))
        reference = Int8Model(file)
        x = rng.integers(-128, 128, (20, *reference.input.shape[1:]), np.int8)
        found = np.empty((20, *reference.output.shape[1:]), np.int8)
        for one, y in zip(x, found, strict=True):
            assert node.node_infer(body(node, flash), one.tobytes(), ctypes.c_void_p(y.ctypes.data))
        assert np.array_equal(found, reference.run(x))
