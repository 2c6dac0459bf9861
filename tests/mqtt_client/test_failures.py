"""Brokers that are not there, do not answer, refuse, talk nonsense or go away."""

import asyncio
import random
import socket
from contextlib import asynccontextmanager
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint
from mqtt_client.shared import FIRST_DELAY, LAST_DELAY, OPENING, back_off
from mqtt_client.stream import dial

ACCEPTED = b"\x20\x02\x00\x00"
REFUSED = b"\x20\x02\x00\x05"


def client(endpoint, name="client", **more):
    return Connection(endpoint, name, on_message=lambda topic, payload: None, **more)


@asynccontextmanager
async def fake_broker(answer):
    """A server that gives each connection's reader and writer to `answer`."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def says(data):
    """An `answer` that reads the CONNECT, says `data` and hangs up."""

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(data)
        await writer.drain()

    return answer


async def silence(reader, writer):
    await asyncio.Event().wait()


def why_not(endpoint, timeout=5):
    async def run():
        with pytest.raises(BrokerUnreachable) as caught:
            await client(endpoint).connect(timeout)
        assert (caught.value.host, caught.value.port) == (endpoint.host, endpoint.port)
        return caught.value.why

    return asyncio.run(run())


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert why_not(Endpoint("127.0.0.1", port)) == "Connection refused"


def test_a_small_message_does_not_wait_for_the_one_before():
    async def run(endpoint):
        with await dial(endpoint.host, endpoint.port) as sock:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), sock.gettimeout()

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert asyncio.run(run(Endpoint(*server.getsockname()))) == (1, 0.0)


def test_a_name_that_nobody_has():
    assert "known" in why_not(Endpoint("no-such-host.invalid", 1883)).lower()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (REFUSED, "refused: Not authorized"),
        (b"\x20\x02\x00\x04", "refused: Bad user name or password"),
        (b"\x20\x02\x00\x01", "connection lost"),
        (b"", "connection lost"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "connection lost"),
    ],
)
def test_a_broker_that_will_not_have_us(data, why):
    async def run():
        async with fake_broker(says(data)) as endpoint:
            with pytest.raises(BrokerUnreachable) as caught:
                await client(endpoint).connect(5)
            return caught.value.why

    assert why in asyncio.run(run())


def test_a_silent_broker_is_given_up_and_blocks_nobody():
    async def run():
        turns = 0
        async with fake_broker(silence) as endpoint:
            attempt = asyncio.ensure_future(client(endpoint).connect(1.0))
            while not attempt.done():
                await asyncio.sleep(0.01)
                turns += 1
        with pytest.raises(BrokerUnreachable, match=r"no answer within 1 s"):
            attempt.result()
        return turns

    assert asyncio.run(run()) >= 10


def test_waiting_for_a_turn_to_connect_is_not_held_against_the_broker():
    async def run():
        async with fake_broker(silence) as endpoint:
            attempts = [client(endpoint, f"c{i}").connect(0.2) for i in range(2 * OPENING)]
            return await asyncio.gather(*attempts, return_exceptions=True)

    results = asyncio.run(run())
    assert {result.why for result in results} == {"no answer within 0.2 s"}


def test_a_refused_subscription_is_a_refused_connection():
    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(ACCEPTED)
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x01\x80")
        await reader.read(1000)

    async def run():
        async with fake_broker(answer) as endpoint:
            connection = client(endpoint)
            connection.subscribe("mine", "theirs")
            with pytest.raises(BrokerUnreachable, match="refused: subscription to theirs"):
                await connection.connect(5)

    asyncio.run(run())


def test_a_connect_that_is_cancelled_leaves_nothing_open():
    async def run():
        async with fake_broker(silence) as endpoint:
            connection = client(endpoint)
            attempt = asyncio.ensure_future(connection.connect(5))
            await asyncio.sleep(0.05)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            assert not connection.connected
            with pytest.raises(BrokerUnreachable):  # and may be tried again
                await connection.connect(0.05)

    asyncio.run(run())


def test_a_kill_while_connecting_holds():
    async def run():
        async with fake_broker(silence) as endpoint:
            connections = [client(endpoint, f"c{i}") for i in range(OPENING + 1)]
            attempts = [asyncio.ensure_future(each.connect(5)) for each in connections]
            await asyncio.sleep(0.05)
            for connection in connections:  # the last of which still waits for its turn
                connection.kill()
            return await asyncio.gather(*attempts, return_exceptions=True)

    assert {error.why for error in asyncio.run(run())} == {"closed from this side"}


def test_a_lost_session_comes_back_with_everything_that_was_not_acknowledged(
    mosquitto, unique, listen, eventually
):
    async def run():
        greetings = []
        receiver, inbox = await listen(mosquitto, unique + "-r", f"{unique}/up")
        connection = client(mosquitto.endpoint, unique, on_connect=lambda: greetings.append(1))
        connection.subscribe(f"{unique}/down")
        await connection.connect(5)
        usurper = client(mosquitto.endpoint, unique)  # the same name: the broker drops the first
        await usurper.connect(5)
        usurper.kill()
        for payload in (b"1", b"2"):
            connection.publish(f"{unique}/up", payload)
        await eventually(lambda: not connection.connected)
        connection.publish(f"{unique}/up", b"3")
        assert connection.waiting == 3
        await connection.drain(5)
        await eventually(lambda: len(greetings) == 2)
        await eventually(lambda: len(inbox) == 3)
        await connection.disconnect()
        await receiver.disconnect()
        return [payload for _, payload in inbox]

    assert asyncio.run(run()) == [b"1", b"2", b"3"]


def test_what_the_broker_did_not_acknowledge_is_sent_again_before_anything_new(eventually):
    sessions = []

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(ACCEPTED)
        sessions.append([])
        while True:
            kind, length = await reader.readexactly(2)
            if kind & 0xF0 != 0x30:
                return
            body = await reader.readexactly(length)
            sessions[-1].append(body[5:])  # after 2 + 1 bytes of topic and 2 of packet id
            if len(sessions) == 1 and len(sessions[0]) == 3:
                return
            if body[5:] not in (b"1", b"2"):
                writer.write(b"\x40\x02" + body[3:5])

    async def run():
        async with fake_broker(answer) as endpoint:
            connection = client(endpoint, on_connect=lambda: connection.publish("t", b"hello"))
            await connection.connect(5)
            for payload in (b"1", b"2"):
                connection.publish("t", payload)
            await eventually(lambda: not connection.connected)
            connection.publish("t", b"3")
            await eventually(lambda: len(sessions) == 2 and len(sessions[1]) == 4)
            await eventually(lambda: connection.waiting == 2)
            connection.kill()
            assert connection.waiting == 0

    asyncio.run(run())
    assert sessions == [[b"hello", b"1", b"2"], [b"1", b"2", b"3", b"hello"]]


def test_a_broker_that_hangs_is_noticed_by_keep_alive(monkeypatch, eventually):
    monkeypatch.setattr("mqtt_client.shared.TICK", 0.05)

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(ACCEPTED)
        await asyncio.Event().wait()

    async def run():
        async with fake_broker(answer) as endpoint:
            connection = client(endpoint, keepalive=1)
            await connection.connect(5)
            await eventually(lambda: not connection.connected)
            connection.kill()

    asyncio.run(run())


def test_disconnecting_while_away_ends_the_attempts_to_come_back(eventually):
    seen = []

    async def answer(reader, writer):
        seen.append(1)
        await says(ACCEPTED)(reader, writer)

    async def run():
        async with fake_broker(answer) as endpoint:
            connection = client(endpoint)
            await connection.connect(5)
            await eventually(lambda: not connection.connected)
            await connection.disconnect()
            await asyncio.sleep(1.2 * FIRST_DELAY)

    asyncio.run(run())
    assert len(seen) == 1


def test_a_will_that_cannot_be_made_is_told_and_tried_again(eventually):
    async def run():
        errors, wills = [], iter([("t", b""), ZeroDivisionError("no will"), ("t", b"")])

        def will():
            made = next(wills)
            if isinstance(made, Exception):
                raise made
            return made

        async with fake_broker(says(ACCEPTED)) as endpoint:
            connection = client(endpoint, will=will, on_error=errors.append)
            await connection.connect(5)
            await eventually(lambda: errors)
            connection.kill()
        return errors

    assert [str(error) for error in asyncio.run(run())] == ["no will"]


@settings(max_examples=200)
@example(b"\x30\x04\x00\x02\xff\xff")  # a topic that is not UTF-8
@example(b"\x30\x01\x00")  # a topic without its length
@example(b"\x40\x00")  # an acknowledgement of nothing
@given(st.binary(min_size=1, max_size=64))
def test_nonsense_after_the_connection_never_escapes_nor_hangs(data):
    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(ACCEPTED + data)
        await writer.drain()

    async def run():
        escaped = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
        async with fake_broker(answer) as endpoint:
            connection = client(endpoint)
            await connection.connect(5)
            async with asyncio.timeout(60):
                while connection.connected:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            connection.kill()
        return escaped

    assert asyncio.run(run()) == []


def test_the_back_off_doubles_to_a_limit_and_repeats_with_its_seed():
    delays = list(islice(back_off(random.Random(7)), 12))
    assert delays == list(islice(back_off(random.Random(7)), 12))
    assert delays != list(islice(back_off(random.Random(8)), 12))
    for index, delay in enumerate(delays):
        most = min(FIRST_DELAY * 2**index, LAST_DELAY)
        assert most / 2 <= delay <= most
