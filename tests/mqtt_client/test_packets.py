"""Packets byte by byte, as MQTT 3.1.1 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_client import packets
from mqtt_client.packets import MalformedPacket, Message, Packet, Packets


def test_a_connect_is_laid_out_as_section_3_1_says():
    assert packets.connect("dev", 60, ("s", b"\x01\x02"), "me", "secret") == bytes.fromhex(
        "10 22"
        "00 04 4d 51 54 54 04 ee 00 3c"  # MQTT, level 4; flags: all but QoS 2; 60 s
        "00 03 64 65 76"
        "00 01 73  00 02 01 02"  # the will
        "00 02 6d 65  00 06 73 65 63 72 65 74"
    )
    assert packets.connect("dev", 1, None, None, None) == bytes.fromhex(
        "10 0f 00 04 4d 51 54 54 04 02 00 01 00 03 64 65 76"
    )


def test_the_other_packets_that_we_send():
    assert packets.subscribe(10, ["a/b", "+"]) == bytes.fromhex(
        "82 0c 00 0a 00 03 61 2f 62 01 00 01 2b 01"
    )
    assert packets.publish(258, "a", b"hi", retain=False) == bytes.fromhex(
        "32 07 00 01 61 01 02 68 69"
    )
    assert packets.publish(1, "a", b"", retain=True)[:1] == b"\x33"
    assert packets.puback(258) == bytes.fromhex("40 02 01 02")


@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=300)), max_size=6), st.data())
def test_a_stream_is_cut_into_its_packets_wherever_it_breaks(sent, data):
    stream = b"".join(packets.publish(7, topic, body, retain=False) for topic, body in sent)
    reader, found, at = Packets(), [], 0
    while at < len(stream):
        end = data.draw(st.integers(at + 1, len(stream)))
        found += reader.feed(stream[at:end])
        at = end
    assert [packets.read_publish(packet) for packet in found] == [
        Message(topic, body, 7) for topic, body in sent
    ]


@pytest.mark.parametrize("size", [0, 123, 124, 16_379, 16_380])
def test_the_size_of_a_publish_is_known_before_it_is_made(size):
    payload = bytes(size)
    assert packets.publish_size("a", payload) == len(packets.publish(1, "a", payload, retain=True))


@pytest.mark.parametrize(
    "packet",
    [
        Packet(3, 2, b""),
        Packet(3, 2, b"\x00\x05topic"),  # no packet id
        Packet(3, 4, b"\x00\x01t\x00\x01"),  # QoS 2, which nobody asked for
        Packet(3, 0, b"\x00\x02\xff\xff"),  # not UTF-8
    ],
)
def test_a_publish_that_is_none_is_refused(packet):
    with pytest.raises(MalformedPacket):
        packets.read_publish(packet)


def test_a_length_of_more_than_four_bytes_is_refused():
    with pytest.raises(MalformedPacket):
        list(Packets().feed(b"\x30\xff\xff\xff\xff\x01"))
    assert list(Packets().feed(b"\x30\xff\xff\xff")) == []
