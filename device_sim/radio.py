"""What a link costs: joules and seconds of a message, by the figures of docs/boards.md.

Beside the payload each message pays for what carries it: headers, the acknowledgement that
comes back, frames where a link has them, and once a round for the connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

MQTT = 80  # bytes around a payload: PUBLISH with its topic (40), TCP (20), IPv4 (20)
PUBACK = 44  # its answer, which takes TCP's acknowledgement along


@dataclass(frozen=True)
class Way:
    """One direction of a link."""

    watts: float  # while it sends, or receives
    rate: float  # bytes a second while a frame is under way
    answer: int  # bytes that each frame sends the other way; 0: none


@dataclass(frozen=True)
class Radio:
    """A kind of link, as one chip that is made for it behaves."""

    name: str
    title: str
    up: Way
    down: Way
    header: int  # bytes of a frame that are not payload
    frame: int  # the most payload in one; 0: a message is one frame
    frame_seconds: float  # of each, beside its bytes: preamble, gaps between packets
    connect_joules: float  # to wake up and be connected, once a round
    connect_seconds: float
    duty: float = 1.0  # the share of time that it may send
    shared: float = 1.0  # the share of time that its gateway may send to all devices together

    def frames(self, size: int) -> int:
        """How many frames a message of `size` bytes is."""
        return max(1, -(-size // self.frame)) if self.frame else 1

    def seconds(self, way: Way, size: int) -> float:
        """How long a message is under way, its answers not counted."""
        frames = self.frames(size)
        return (size + frames * self.header) / way.rate + frames * self.frame_seconds

    def answers(self, way: Way, size: int) -> float:
        """Seconds that the other direction is busy with the answers to a message."""
        if not way.answer:
            return 0.0
        other = self.down if way is self.up else self.up
        return self.frames(size) * (way.answer / other.rate + self.frame_seconds)

    def joules(self, way: Way, size: int) -> float:
        """What a message costs the device, answers and all."""
        other = self.down if way is self.up else self.up
        return self.seconds(way, size) * way.watts + self.answers(way, size) * other.watts

    def payload_rate(self, way: Way) -> float:
        """Bytes a second of large messages; 0: unlimited."""
        size = self.frame or LARGE
        seconds = self.seconds(way, size)
        return size / seconds if seconds else 0.0


LARGE = 1024  # bytes of a message where nothing cuts it: a block


def _lora(spreading: int) -> tuple[float, float]:
    """(bytes a second, seconds of each frame) of LoRa at 125 kHz, coding 4/5, CRC, header.

    Semtech, SX1276/77/78/79 datasheet, 4.1.1.7: 12.25 symbols of preamble and 8 + 5·⌈(8·bytes −
    4·SF + 44) / (4·(SF − 2·DE))⌉ more.  Here without the rounding up, but for its mean.
    """
    symbol = 2**spreading / 125e3
    bits = 4 * (spreading - (2 if spreading > 10 else 0))  # of payload in five symbols
    fixed = 12.25 + 8 + 5 * (44 - 4 * spreading) / bits + 2.5
    return 1 / (symbol * 5 * 8 / bits), fixed * symbol


def _lorawan(name: str, spreading: int, frame: int) -> Radio:
    """EU868, class A: what a device receives it must first ask for, with an empty frame."""
    rate, frame_seconds = _lora(spreading)
    return Radio(
        name,
        f"LoRaWAN, EU868, SF{spreading} at 125 kHz",
        up=Way(3.3 * 41.54e-3, rate, 0),
        down=Way(3.3 * 12.68e-3, rate, LORAWAN),
        header=LORAWAN + FRAGMENT,
        frame=frame - FRAGMENT,
        frame_seconds=frame_seconds,
        connect_joules=0.0,  # it stays joined
        connect_seconds=0.0,
        duty=0.01,
        shared=0.01,
    )


LORAWAN = 13  # bytes of a frame: MHDR, address, control, counter, port, MIC
FRAGMENT = 3  # of each payload, that say which piece of which message it is

FREE = Way(0.0, inf, 0)
_RADIOS = (
    Radio("none", "a link that costs nothing", FREE, FREE, 0, 0, 0.0, 0.0, 0.0),
    Radio(
        "wifi",
        "Wi-Fi, 802.11n (ESP32)",
        up=Way(3.3 * 0.180, 2.5e6, PUBACK),
        down=Way(3.3 * 0.100, 2.5e6, PUBACK),
        header=MQTT,
        frame=0,
        frame_seconds=0.0,
        connect_joules=1.02,
        connect_seconds=1.6,
    ),
    Radio(
        "ble",
        "Bluetooth Low Energy, 1 Mbit/s (nRF52840)",
        up=Way(3.0 * 6.40e-3, 125e3, 0),
        down=Way(3.0 * 6.26e-3, 125e3, 0),
        header=17,  # preamble, address, CRC; headers of link layer, L2CAP and ATT
        frame=244,
        frame_seconds=380e-6,  # twice the gap of 150 µs, and the empty packet that answers
        connect_joules=150e-6,
        connect_seconds=1.0,
    ),
    Radio(
        "lte-m",
        "LTE-M, half duplex, 23 dBm (SIM7000; waking up: nRF9160)",
        up=Way(3.7 * 0.167, 375e3 / 8, PUBACK),
        down=Way(3.7 * 0.109, 300e3 / 8, PUBACK),
        header=MQTT,
        frame=0,
        frame_seconds=0.0,
        connect_joules=0.547,
        connect_seconds=22.0,
    ),
    _lorawan("lorawan", 7, 222),
    _lorawan("lorawan-sf12", 12, 51),
)
RADIOS = {radio.name: radio for radio in _RADIOS}
