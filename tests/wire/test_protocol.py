"""docs/protocol.md and docs/vectors say what the code does."""

import json
import re
from dataclasses import MISSING, fields, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from tests.wire.message_vectors import plain, unplain
from tests.wire.object_vectors import layout_of_sizes
from tflite_models.scope import scope_of
from wire import blocks, cbor, items, messages, packing
from wire.base import Form, Run, coded, unpack_base
from wire.blocks import Assembly, serve
from wire.cbor import decode, encode
from wire.codec import CODECS
from wire.difference import Codes, Frame, apply_difference, check_of, encode_difference
from wire.errors import CodecError, WireError
from wire.fields import spec_of
from wire.messages import (
    MAX_BLOCK,
    MAX_OBJECT,
    TASK_ROOM,
    TRAINS_BYTES,
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
from wire.packing import unpack
from wire.topics import Topics

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocol.md").read_text()


def vectors(name):
    return json.loads((DOCS / "vectors" / f"{name}.json").read_text())


def section(title):
    """The text below a heading, up to the next."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"protocol.md has no heading {title!r}"
    return found.group(1)


def table(title):
    """The rows of the first table below a heading, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def row(f):
    """What the table of a message must say of a field: key, name, type, bounds, default."""
    spec = spec_of(f)
    of = spec.enum or spec.of
    kinds = {"real": "float", "blob": "bytes", "many": f"array of {getattr(of, '__name__', '')}"}
    kind = of.__name__ if of and spec.kind != "many" else kinds.get(spec.kind, spec.kind)
    bounds = f"{spec.least} to {spec.most}" if spec.least < spec.most else f"{spec.least}"
    if spec.enum:
        bounds = f"{min(spec.enum)} to {max(spec.enum)}"
    bounds = {"record": "–", "real": "finite"}.get(spec.kind, bounds)
    default = "required" if f.default is MISSING else str(f.default)
    default = "empty" if f.default in (b"", "") else default
    return [str(spec.key), f.name, kind, bounds, "that of data" if spec.derived else default]


HEADINGS = {cls: f"{number} {cls.__name__}" for number, cls in TYPES.items()}
HEADINGS |= {part: f"Part: {part.__name__}" for part in (Manifest, Recipe)}


@pytest.mark.parametrize("cls", HEADINGS, ids=lambda cls: cls.__name__)
def test_the_table_of_a_message_is_its_specs(cls):
    assert [cells[:5] for cells in table(HEADINGS[cls])] == [row(f) for f in fields(cls)]


@pytest.mark.parametrize("enum", [Status, Phase, Kind, Reason, Refusal], ids=lambda e: e.__name__)
def test_the_table_of_an_enum_is_its_members(enum):
    rows = [cells[:2] for cells in table(f"Enum: {enum.__name__}")]
    assert rows == [[str(member.value), member.name] for member in enum]


def test_every_message_part_and_enum_has_a_heading():
    enums = {
        name
        for name, value in vars(messages).items()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    }
    assert set(re.findall(r"^### Enum: (\w+)", PAGE, re.MULTILINE)) == enums
    assert (
        re.findall(r"^### (\d+ \w+)", PAGE, re.MULTILINE) == list(HEADINGS.values())[: len(TYPES)]
    )


def test_the_topics_are_those_of_the_code():
    topics = Topics("{fleet}".strip("{}"))
    written = re.findall(r"^\| `(microfed\S+)` \|", PAGE, re.MULTILINE)
    assert written == [
        re.sub("/(fleet|device|gateway)(?=/)", r"/{\1}", topic)
        for topic in (
            topics.announce,
            topics.aggregator_state,
            topics.state("device"),
            topics.up("device"),
            topics.down("device"),
            topics.gateway_state("gateway"),
        )
    ]
    assert len(Topics("f" * 32).state("d" * 32)) == 85
    assert "longest topic has 85 characters" in PAGE


@pytest.mark.parametrize(
    "text",
    [
        f"No payload is longer than {cbor.MAX_PAYLOAD:,} bytes (a block of {MAX_BLOCK:,}",
        f"at most {items.MAX_ITEMS} items",
        f"nested at most {items.MAX_DEPTH} deep",
        f"at most {blocks.MAX_SERVED} of them and at most {blocks.MAX_SERVED_BYTES:,} bytes",
        f"The window is {blocks.WINDOW} blocks",
        f"1 to {MAX_OBJECT:,} bytes",
        f"at least {TASK_ROOM} bytes shorter than a Block's data",
        f"no distance above {1 << packing._WINDOW_BITS:,}",
    ],
)
def test_the_limits_are_those_of_the_code(text):
    assert text in PAGE


def test_every_example_in_hex_is_one_of_the_vectors():
    known = {vector["hex"] for vector in vectors("messages")}
    known |= {step["hex"] for step in vectors("transfer")["steps"]}
    examples = re.findall(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        assert re.sub(r"#.*|\s", "", example) in known


def test_the_examples_of_layouts_are_vectors():
    def hex_of(title):
        example = re.findall(r"```\n(.*?)```", section(title), re.DOTALL)[0]
        return "".join(
            "".join(re.match(r"(?:[0-9a-f]{2,8} )*", line + " ")[0].split())
            for line in example.splitlines()
        )

    assert hex_of("DIFFERENCE") == vectors("differences")[0]["hex"]
    assert hex_of("int8") == vectors("updates")["good"][0]["hex"]


@pytest.mark.parametrize("vector", vectors("messages"), ids=lambda v: v["name"])
def test_a_message_is_its_vector(vector):
    cls = TYPES[vector["type"]]
    message = unplain(cls, vector["fields"])
    assert cls.__name__ == vector["message"]
    assert encode(message).hex() == vector["hex"]
    assert decode(bytes.fromhex(vector["hex"])) == message
    assert plain(message) == vector["fields"]


def test_every_type_has_a_vector():
    assert {vector["type"] for vector in vectors("messages")} == set(TYPES)


@pytest.mark.parametrize("vector", vectors("refused"), ids=lambda v: v["why"])
def test_a_refused_vector_is_refused(vector):
    with pytest.raises(WireError):
        decode(bytes.fromhex(vector["hex"]))


def test_the_transfer_goes_as_its_vector():
    vector = vectors("transfer")
    data, manifest = bytes.fromhex(vector["object"]), unplain(Manifest, vector["manifest"])
    assembly = Assembly(manifest, vector["block"])
    on_offer = []
    for refused in vector["refused"]:
        with pytest.raises(WireError):
            assembly.add(decode(bytes.fromhex(refused["hex"])))
    for step in vector["steps"]:
        if "receiver" in step:
            need = assembly.missing()
            assert encode(need).hex() == step["hex"]
            on_offer = [encode(block).hex() for block in serve(need, {manifest.id: data})]
        else:
            assert step["hex"] in on_offer
            assert assembly.add(decode(bytes.fromhex(step["hex"]))) is step["new"]
    assert assembly.result() == data


@pytest.mark.parametrize(
    "vector", vectors("updates")["good"], ids=lambda v: f"{v['codec']} {v['budget']} {v['name']}"
)
def test_an_update_is_its_vector(vector):
    delta = np.frombuffer(bytes.fromhex(vector["delta"]), "<f4").astype(np.float32)
    bounds, codec = tuple(vector["bounds"]), CODECS[vector["codec"]]
    decoded = codec.decode(bytes.fromhex(vector["hex"]), delta.size, bounds)
    assert decoded.astype("<f4").tobytes().hex() == vector["decoded"]
    again = codec.encode(delta, bounds, vector["budget"])
    np.testing.assert_array_equal(codec.decode(again, delta.size, bounds), decoded)
    if "deflated" not in vector["name"]:  # the stream itself is the library's
        assert again.hex() == vector["hex"]


@pytest.mark.parametrize("vector", vectors("updates")["refused"], ids=lambda v: v["why"])
def test_a_refused_update_is_refused(vector):
    bounds = tuple(vector["bounds"])
    with pytest.raises(CodecError):
        CODECS[vector["codec"]].decode(bytes.fromhex(vector["hex"]), bounds[-1], bounds)


@pytest.mark.parametrize("vector", vectors("differences"), ids=lambda v: f"{v['how']} {v['name']}")
def test_a_difference_is_its_vector(vector):
    old, new = (
        Codes(np.int32(vector[which]["codes"]), np.float32(vector[which]["scales"]))
        for which in ("old", "new")
    )
    frame = Frame(np.array(vector["mask"]), np.int32(vector["channels"]))
    got = apply_difference(bytes.fromhex(vector["hex"]), old, frame)
    np.testing.assert_array_equal(got.codes, new.codes)
    np.testing.assert_array_equal(got.scales, new.scales)
    written = encode_difference(old, new, frame)
    np.testing.assert_array_equal(apply_difference(written, old, frame).codes, new.codes)
    assert [check_of(old), check_of(got)] == [vector[which]["check"] for which in ("old", "new")]


@pytest.mark.parametrize("vector", vectors("bases"), ids=lambda v: v["name"])
def test_a_base_is_its_vector(vector):
    file = bytes.fromhex(vector["file"])
    assert unpack_base(bytes.fromhex(vector["hex"]), len(file)) == file
    runs = tuple(
        Run(run["at"], Form[run["form"]], run["size"], run["factors"], run["factor"])
        for run in vector["runs"]
    )
    assert coded(file, runs).hex() == vector["hex"]


@pytest.mark.parametrize("vector", vectors("packed"), ids=lambda v: v["hex"][:8])
def test_packed_bytes_are_their_vector(vector):
    data = bytes.fromhex(vector["data"])
    assert unpack(bytes.fromhex(vector["hex"]), len(data), "vector") == data


@pytest.mark.parametrize("vector", vectors("trains")["good"], ids=lambda v: v["trains"])
def test_what_trains_is_its_vector(vector):
    layout = layout_of_sizes(vector["tensors"], vector["mask"])
    scope = scope_of(layout, bytes.fromhex(vector["trains"]))
    assert np.flatnonzero(scope.mask).tolist() == vector["parameters"]
    assert list(scope.bounds) == vector["bounds"]


@pytest.mark.parametrize("vector", vectors("trains")["refused"], ids=lambda v: v["trains"])
def test_bits_to_refuse_are_refused(vector):
    layout = layout_of_sizes(vector["tensors"], vector["mask"])
    with pytest.raises(ValueError, match="trains"):
        scope_of(layout, bytes.fromhex(vector["trains"]))


def test_the_largest_payloads_are_as_the_page_says():
    u, sha, key = 2**32 - 1, bytes(32), bytes(8)
    manifest = Manifest(Kind.BASE, MAX_OBJECT, sha, u, u)
    recipe = Recipe(1000, 65536, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1)
    offer = Offer(u, key, u, "x" * 32, 2**20, 0.1, 0.1, manifest, check=u)
    data = bytes(MAX_BLOCK)
    full = Offer(u, key, u, "x" * 32, 2**20, 0.1, 0.1, manifest_of(Kind.UPDATE, data), data, u)

    def size(message):
        return len(encode(message))

    def task(codec):
        return Task(u, u, sha, recipe, codec, u, u, (manifest, manifest), u, u)

    bits = size(replace(offer, trains=bytes(TRAINS_BYTES))) - size(offer)
    more = f"at most {bits} more with `trains`"
    inside = "; with objects inside no more than a Block"
    some = replace(task("x" * 32), recipe=replace(recipe, trains=bytes(TRAINS_BYTES)))
    for buffer in (1024, 65_536, MAX_BLOCK):
        full_task = replace(some, data=bytes(buffer - TASK_ROOM))
        assert size(full_task) <= size(Block(key, u, u, u, bytes(buffer)))

    block, small = (size(Block(key, u, u, u, bytes(n))) - n for n in (MAX_BLOCK, 65535))
    need, window = (size(Need(key, MAX_BLOCK, u, bytes(n))) for n in (64, 1))
    assert [cells[1] for cells in table("8. What a small device must implement")] == [
        f"its data + {block}; + {small} for data up to 64 KB",
        f"its data + {size(full) - MAX_BLOCK}; {size(offer)} without; {more}",
        f"{size(task('x' * 32))}; {size(task('int8'))} with the codec `int8`; {more}{inside}",
        f"{size(Hello(u, u, MAX_BLOCK, u, 'x' * 32, sha, u, u))}",
        f"{need}; {window} with a window of 8 while nothing is lost",
        f"{size(Announce(u, Phase.FINISHED, u, u, sha))}",
        f"{size(Verdict(u, key, Reason.UNSUPPORTED))}",
        f"{size(Presence(u, Status.LOST))}",
    ]
    assert size(Decline(u, Refusal.FAILED)) == size(Presence(u, Status.LOST))


def _cost(parameters, codec, block):
    """The bytes of one update on the wire: of section 9's columns."""
    n = int(parameters)
    bounds = (0, 192, 208, 256, 259) if n == 259 else (0, 164602, 164618, 232794, 235126, 235146)
    delta = np.random.default_rng(0).uniform(-1, 1, n).astype(np.float32)
    data = CODECS[codec].encode(delta, bounds)
    manifest, inline = manifest_of(Kind.UPDATE, data), len(data) <= int(block)
    sent = {kind: [] for kind in (Offer, Need, Block, Verdict)}

    def send(message):
        sent[type(message)].append(len(encode(message)))

    inside = data if inline else b""
    send(Offer(3, bytes(8), 2, codec, 100, 0.1, 0.2, manifest, inside, 2**32 - 1))
    if not inline:
        assembly = Assembly(manifest, int(block))
        while need := assembly.missing():
            send(need)
            for piece in serve(need, {manifest.id: data}):
                send(piece)
                assembly.add(piece)
    send(Verdict(3, bytes(8), Reason.ACCEPTED))
    sums = [sum(sizes) for sizes in sent.values()]
    return [str(x) for x in (len(data), *sums, sum(sums), sum(map(len, sent.values())))]


@pytest.mark.parametrize("cells", table("9. Sizes"), ids=lambda cells: " ".join(cells[:3]))
def test_the_sizes_of_the_page_are_measured(cells):
    assert cells[3:] == _cost(*cells[:3])
