"""Bar 6.6: a hostile broker at a whole node under sanitizers, and then a round with a real one.

Every hostile packet that is counted has been read by the node: behind each batch goes a PUBLISH
that it must acknowledge.  What ends the connection is counted once, when the node hangs up.
"""

from __future__ import annotations

import itertools
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np

from benchmarks.bars import Bar, Outcome
from benchmarks.node_malice import (
    CONNACK,
    MARKER,
    PINGRESP,
    PUBACK,
    SUBACK,
    Malice,
    packet,
    publish,
)
from benchmarks.node_runs import Heard, with_nodes
from cli.config import Experiment
from cli.nodes import node_kit, samples_of
from cli.output import Output
from cli.shares import Shares, shares_of
from firmware.node_processes import RunningNode, RunningNodes, Who, start_posix
from firmware.nodes import CHECKED, posix_program
from mqtt_broker.broker import start
from mqtt_broker.settings import BrokerSettings
from wire.topics import Topics

MODEL = Path(__file__).parents[1] / "tflite_models/digits/model.tflite"
LEAST = 100_000
IN_ALL = 112_000  # nine of ten are malformed; the rest is well formed, and hostile
BATCH = 100
PATIENCE = 30.0  # seconds for an answer: training under sanitizers takes its time
BREATH = 0.1  # seconds after which a broken packet is taken to swallow all that follows
SEED = 6
# A node that is thrown out at once would otherwise be away for half a minute.
HASTE = ("-DMF_MQTT_BACKOFF_LEAST=2", "-DMF_MQTT_BACKOFF_MOST=16")

CONNECT, SUBSCRIBE, PINGREQ = 0x10, 0x80, 0xC0


class HungUp(Exception):  # noqa: N818 - what happened
    """The node has closed the connection."""


class Session:
    """One connection of a node, as its broker sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._heard = bytearray()

    def greet(self) -> None:
        """Take CONNECT and SUBSCRIBE."""
        self.expect(CONNECT)
        self.say(packet(CONNACK, b"\0\0"))
        body = self.expect(SUBSCRIBE)
        at, filters = 2, 0
        while at < len(body):
            at, filters = at + 3 + int.from_bytes(body[at : at + 2]), filters + 1
        self.say(packet(SUBACK, body[:2] + b"\1" * filters))

    def say(self, data: bytes) -> None:
        """Send; HungUp if it has closed the connection."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise HungUp from error

    def expect(self, kind: int, within: float = PATIENCE) -> bytes:
        """Answer as a broker does until a packet of this kind comes; its body.

        TimeoutError when none has come in time, HungUp.
        """
        end = time.monotonic() + within
        while True:
            self._connection.settimeout(max(end - time.monotonic(), 0.001))
            first, body = self._next()
            if first & 0xF0 == 0x30 and first & 2:
                size = 2 + int.from_bytes(body[:2])
                self.say(packet(PUBACK, body[size : size + 2]))
            elif first == PINGREQ:
                self.say(packet(PINGRESP))
            if first & 0xF0 == kind:
                return body

    def expect_marker(self, within: float = PATIENCE) -> None:
        """Until the acknowledgement of a PUBLISH with the identifier MARKER."""
        while self.expect(PUBACK, within) != MARKER.to_bytes(2):
            pass

    def _next(self) -> tuple[int, bytes]:
        while True:
            size, shift = 0, 0
            for at, byte in enumerate(self._heard[1:5], start=2):
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    if len(self._heard) >= at + size:
                        first, body = self._heard[0], bytes(self._heard[at : at + size])
                        del self._heard[: at + size]
                        return first, body
                    break
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                raise
            except OSError as error:
                raise HungUp from error
            if not data:
                raise HungUp
            self._heard += data


def attack(listener: socket.socket, malice: Malice, count: int, violations: int) -> Counter[str]:
    """Be the broker of the node that connects to `listener`: what it has read, by kind.

    `count` packets in all, of which about `violations` should end the connection.
    """
    read: Counter[str] = Counter()
    messages = malice.messages()
    while read.total() < count:
        with _accept(listener) as session:
            left = min(count // violations, count - read.total())
            for size in (BATCH,) * (left // BATCH) + (left % BATCH,):
                read += _annoy(session, malice, itertools.islice(messages, size))
            read[_violate(session, malice)] += 1
    with _accept(listener) as session:
        session.say(malice.last_word() + publish(malice.topics[0], b"", MARKER))
        session.expect_marker()
    return read


@contextmanager
def _accept(listener: socket.socket) -> Iterator[Session]:
    listener.settimeout(PATIENCE)
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(connection)
        session.greet()
        yield session


def _annoy(
    session: Session, malice: Malice, messages: Iterable[tuple[bytes, bool]]
) -> Counter[str]:
    said, kinds = bytearray(), Counter[str]()
    for message, malformed in messages:
        if malice.random.random() < 0.1:
            said += malice.nuisance()
            kinds["nuisances"] += 1
        else:
            said += message
            kinds["malformed messages" if malformed else "absurd messages"] += 1
    session.say(bytes(said) + publish(malice.topics[0], b"", MARKER))
    session.expect_marker()
    return kinds


def _violate(session: Session, malice: Malice) -> str:
    try:
        session.say(malice.violation())
        session.say(publish(malice.topics[0], b"", MARKER))
        session.expect_marker(BREATH)
    except HungUp:
        return "violations"
    except TimeoutError:
        return "packets cut off"
    return "mutations that were harmless"


def measure(out: Output) -> Outcome:
    """Attack a node of digits, then run two rounds with it."""
    experiment = Experiment.model_validate(
        {
            "name": "hostile",
            "data": {"clients": 1, "factory": 0.9},
            "federated": {"rounds": 2, "epochs": 1},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        read, node, heard = hostile_run(experiment, Path(folder), IN_ALL)
    return _outcome(out, read, node, heard)


def hostile_run(
    experiment: Experiment, folder: Path, count: int
) -> tuple[Counter[str], RunningNode, Heard]:
    """What the node read of the hostile broker, the node, and what it said in the real run."""
    shares = shares_of(experiment)
    device = shares.devices[0]
    kit = node_kit(MODEL.read_bytes(), experiment, 2000)
    program = posix_program(kit.model, kit.sizes, folder / "program", flags=(*CHECKED, *HASTE))
    topics = Topics(experiment.name)
    digest = sha256(MODEL.read_bytes()).digest()
    malice = Malice(np.random.default_rng(SEED), (topics.down(device), topics.announce), digest)
    with RunningNodes() as nodes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            who = Who("127.0.0.1", port, experiment.name, device)
            node = start_posix(program, who, samples_of(shares, 0), folder / "node")
            nodes.add(node)
            read = attack(listener, malice, count, max(1, count // 50))
        heard = _real_run(experiment, shares, folder, port, nodes)
    return read, node, heard


def _real_run(
    experiment: Experiment, shares: Shares, folder: Path, port: int, nodes: RunningNodes
) -> Heard:
    with start(BrokerSettings(port=port), folder / "broker") as broker:
        return with_nodes(
            experiment, shares, MODEL, broker.endpoint, folder / "run", nodes, lambda: None
        )


def _outcome(out: Output, read: Counter[str], node: RunningNode, heard: Heard) -> Outcome:
    for kind, times in read.most_common():
        out.line(f"{times:>8,} {kind}")
    out.line(f"seed {SEED}; the node: {node.said[-1]}")
    malformed = read.total() - read["absurd messages"] - read["mutations that were harmless"]
    rounds = sorted(round_ for _, round_ in heard.offers)
    alive = node.process.returncode == 0
    value = f"{malformed:,} malformed, {read.total():,} in all; then rounds {rounds}"
    ok = alive and malformed >= LEAST and len(rounds) > 0
    claim = "a node under ASan and UBSan reads a hostile broker's packets, then takes part"
    bars = [Bar("6.6", claim, value, f"≥ {LEAST:,}, and the next round", ok)]
    return Outcome([{"hostile": dict(read), "rounds": rounds}], bars)
