"""What every broker must give us: the same tests on Mosquitto and on the embedded one."""

import asyncio

import pytest

from mqtt_client.connection import Connection
from mqtt_client.endpoint import Endpoint, OutboxFull, PacketTooLarge
from mqtt_client.session import packet_size
from mqtt_client.traffic import Traffic


def ignore(topic, payload):
    pass


def test_messages_arrive_in_order_and_unchanged(broker, unique, listen, eventually):
    sent = [bytes([i]) * (i * 37) for i in range(100)]

    async def run():
        receiver, inbox = await listen(broker, unique + "-r", f"{unique}/up")
        sender, _ = await listen(broker, unique + "-s")
        for payload in sent:
            sender.publish(f"{unique}/up", payload)
        await sender.drain(5)
        await eventually(lambda: len(inbox) == len(sent))
        await sender.disconnect()
        await receiver.disconnect()
        return inbox

    assert asyncio.run(run()) == [(f"{unique}/up", payload) for payload in sent]


def test_a_retained_message_waits_for_those_who_come_later(broker, unique, listen, eventually):
    async def run():
        sender, _ = await listen(broker, unique + "-s")
        sender.publish(f"{unique}/state", b"old", retain=True)
        sender.publish(f"{unique}/state", b"new", retain=True)
        await sender.drain(5)
        late, inbox = await listen(broker, unique + "-l", f"{unique}/+")
        await eventually(lambda: inbox)
        sender.publish(f"{unique}/state", b"", retain=True)  # leave nothing for other tests
        await eventually(lambda: len(inbox) == 2)
        await sender.disconnect()
        await late.disconnect()
        return inbox

    assert asyncio.run(run()) == [(f"{unique}/state", b"new"), (f"{unique}/state", b"")]


def test_a_killed_client_leaves_its_will_and_a_leaving_one_does_not(
    broker, unique, listen, eventually
):
    async def run():
        watcher, inbox = await listen(broker, unique + "-w", f"{unique}/#")
        for name, leave in (("polite", Connection.disconnect), ("dead", Connection.kill)):
            will = (f"{unique}/{name}", b"lost")
            client = Connection(broker.endpoint, f"{unique}-{name}", on_message=ignore, will=will)
            await client.connect(5)
            done = leave(client)
            if done is not None:
                await done
        await eventually(lambda: inbox)
        late, retained = await listen(broker, unique + "-l", f"{unique}/#")
        await eventually(lambda: retained)
        watcher.publish(f"{unique}/dead", b"", retain=True)
        await watcher.drain(5)
        await watcher.disconnect()
        await late.disconnect()
        return inbox[0], retained[0]

    assert asyncio.run(run()) == ((f"{unique}/dead", b"lost"),) * 2


def test_a_will_may_name_the_session_that_is_about_to_begin(broker, unique, listen, eventually):
    sessions = iter(range(1, 100))

    async def run():
        watcher, inbox = await listen(broker, unique + "-w", f"{unique}/state")
        client = Connection(
            broker.endpoint,
            unique,
            on_message=ignore,
            will=lambda: (f"{unique}/state", b"lost %d" % next(sessions)),
        )
        for count in (1, 2):
            await client.connect(5)
            client.kill()
            await eventually(lambda count=count: len(inbox) == count)
        watcher.publish(f"{unique}/state", b"", retain=True)
        await watcher.drain(5)
        await watcher.disconnect()
        return [payload for _, payload in inbox][:2]

    assert asyncio.run(run()) == [b"lost 1", b"lost 2"]


def test_what_is_published_before_the_connection_is_sent_after_it(
    broker, unique, listen, eventually
):
    async def run():
        receiver, inbox = await listen(broker, unique + "-r", f"{unique}/up")
        sender = Connection(
            broker.endpoint,
            unique,
            on_message=ignore,
            on_connect=lambda: sender.publish(f"{unique}/up", b"third"),
        )
        sender.publish(f"{unique}/up", b"first")
        sender.publish(f"{unique}/up", b"second")
        assert sender.waiting == 2
        await sender.connect(5)
        await eventually(lambda: len(inbox) == 3)
        assert sender.traffic == Traffic(messages_out=3, bytes_out=16)
        await sender.disconnect()
        await receiver.disconnect()
        return [payload for _, payload in inbox]

    assert asyncio.run(run()) == [b"first", b"second", b"third"]


def test_subscriptions_are_in_force_when_on_connect_is_called(broker, unique, eventually):
    async def run():
        inbox = []
        client = Connection(
            broker.endpoint,
            unique,
            on_message=lambda topic, payload: inbox.append(payload),
            on_connect=lambda: client.publish(f"{unique}/echo", b"hello"),
        )
        client.subscribe(f"{unique}/echo", f"{unique}/other")
        await client.connect(5)
        assert client.connected
        client.subscribe(f"{unique}/late")
        client.publish(f"{unique}/other", b"other")
        await eventually(lambda: len(inbox) == 2)
        client.publish(f"{unique}/late", b"late")
        await eventually(lambda: len(inbox) == 3)
        await client.disconnect()
        return inbox

    assert asyncio.run(run()) == [b"hello", b"other", b"late"]


def test_a_broken_handler_is_told_and_the_connection_lives_on(broker, unique, listen, eventually):
    async def run():
        errors, good = [], []

        def handle(topic, payload):
            if payload == b"bad":
                raise ZeroDivisionError(topic)
            good.append(payload)

        client = Connection(broker.endpoint, unique, on_message=handle, on_error=errors.append)
        client.subscribe(f"{unique}/down")
        await client.connect(5)
        sender, _ = await listen(broker, unique + "-s")
        for payload in (b"bad", b"good"):
            sender.publish(f"{unique}/down", payload)
        await eventually(lambda: good)
        assert client.connected
        await client.disconnect()
        await sender.disconnect()
        return errors

    (error,) = asyncio.run(run())
    assert isinstance(error, ZeroDivisionError)
    assert str(error) == f"{unique}/down"


def test_without_an_error_path_the_loop_hears_of_a_broken_handler(mosquitto, unique, eventually):
    async def run():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        client = Connection(
            mosquitto.endpoint, unique, on_message=ignore, on_connect=lambda: {}["nobody"]
        )
        await client.connect(5)
        await client.disconnect()
        return told

    (context,) = asyncio.run(run())
    assert unique in context["message"]
    assert isinstance(context["exception"], KeyError)


@pytest.mark.parametrize("leave", ["disconnect", "kill"])
def test_a_handler_may_end_the_connection(broker, unique, listen, eventually, leave):
    async def run():
        seen, tasks = [], []

        def handle(topic, payload):
            seen.append(payload)
            if leave == "kill":
                client.kill()
            else:
                tasks.append(asyncio.ensure_future(client.disconnect()))

        client = Connection(broker.endpoint, unique, on_message=handle)
        client.subscribe(f"{unique}/down")
        await client.connect(5)
        sender, _ = await listen(broker, unique + "-s")
        sender.publish(f"{unique}/down", b"end")
        await eventually(lambda: seen)
        await asyncio.gather(*tasks)
        assert not client.connected
        await client.connect(5)  # and begin again
        assert client.connected
        await client.disconnect()
        await sender.disconnect()
        return seen

    assert asyncio.run(run()) == [b"end"]


def test_a_message_that_the_broker_would_choke_on_is_refused_before_it_is_sent(mosquitto, unique):
    async def run():
        client = Connection(mosquitto.endpoint, unique, on_message=ignore, max_packet=100)
        await client.connect(5)
        room = 100 - packet_size("t", b"")
        client.publish("t", bytes(room))
        with pytest.raises(PacketTooLarge) as caught:
            client.publish("t", bytes(room + 1))
        assert (caught.value.topic, caught.value.size, caught.value.most) == ("t", 101, 100)
        await client.drain(5)
        assert client.connected
        await client.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("payload", "size"),
    [(0, 7), (122, 129), (123, 131), (16_378, 16_386), (16_379, 16_388), (2_097_147, 2_097_157)],
)
def test_the_size_of_a_packet_counts_its_header(payload, size):
    # 1 type + 1..4 length + 2 + 1 topic + 2 packet id + payload (MQTT 3.1.1, 2.2.3 and 3.3)
    assert packet_size("t", bytes(payload)) == size


@pytest.mark.parametrize("topic", ["", "a/+", "a/#"])
def test_a_topic_that_nothing_can_be_published_to_is_refused_at_once(topic):
    client = Connection(Endpoint("127.0.0.1", 1), "c", on_message=ignore)
    with pytest.raises(ValueError, match="nothing can be published there"):
        client.publish(topic, b"")


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr("mqtt_client.connection.MAX_WAITING", 3)
    client = Connection(Endpoint("127.0.0.1", 1), "c", on_message=ignore)
    for _ in range(3):
        client.publish("t", b"")
    with pytest.raises(OutboxFull, match="'c': 3 messages wait"):
        client.publish("t", b"")
    assert client.waiting == 3


def test_connecting_twice_is_a_mistake(mosquitto, unique):
    async def run():
        client = Connection(mosquitto.endpoint, unique, on_message=ignore)
        await client.connect(5)
        with pytest.raises(RuntimeError, match="connected already"):
            await client.connect(5)
        await client.disconnect()

    asyncio.run(run())


def test_drain_says_how_many_messages_have_not_arrived():
    async def run():
        client = Connection(Endpoint("127.0.0.1", 1), "c", on_message=ignore)
        await client.drain(0.01)  # nothing to wait for
        client.publish("t", b"")
        with pytest.raises(TimeoutError, match="'c': 1 messages not acknowledged"):
            await client.drain(0.01)

    asyncio.run(run())
