"""The broker in memory keeps what the protocol relies on; `_matches` is the standard's examples."""

import asyncio

import pytest

from mqtt_client.memory import MemoryBroker, _matches
from mqtt_client.traffic import Traffic


def on_a_broker(act):
    """Run `act(broker, join)`; `join(name, *topics)` connects a client and gives it and its inbox."""

    async def main():
        broker, errors = MemoryBroker(), []

        async def join(name, *topics, will=("will", b""), on_message=None):
            inbox = []
            client = broker.client(
                name,
                on_message or (lambda topic, payload: inbox.append((topic, payload))),
                lambda: None,
                errors.append,
                lambda: will,
            )
            client.subscribe(*topics)
            await client.connect(1)
            return client, inbox

        return await act(broker, join), errors

    return asyncio.run(main())


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


def test_messages_arrive_in_order_at_every_subscriber_and_never_inside_publish():
    async def act(_broker, join):
        one, first = await join("one", "a/+")
        _, second = await join("two", "a/b", "a/#")
        for index in range(5):
            one.publish("a/b", b"%d" % index)
        assert first == second == []
        await settle()
        assert one.traffic == Traffic(5, 5, 5, 5)
        return first, second

    (first, second), errors = on_a_broker(act)
    assert first == second == [("a/b", b"%d" % index) for index in range(5)]
    assert errors == []


def test_what_is_retained_waits_for_those_who_come_later_until_it_is_cleared():
    async def act(_broker, join):
        one, _ = await join("one")
        one.publish("state/1", b"old", retain=True)
        one.publish("state/1", b"new", retain=True)
        one.publish("state/2", b"gone", retain=True)
        one.publish("state/2", b"", retain=True)
        one.publish("state/3", b"passing")
        _, inbox = await join("late", "state/+")
        await settle()
        return inbox

    assert on_a_broker(act)[0] == [("state/1", b"new")]


def test_a_killed_client_leaves_its_will_and_a_leaving_one_does_not():
    async def act(_broker, join):
        _, inbox = await join("watcher", "#")
        polite, _ = await join("polite", will=("polite", b"lost"))
        dead, _ = await join("dead", will=("dead", b"lost"))
        await polite.disconnect()
        dead.kill()
        dead.kill()
        await settle()
        return inbox

    assert on_a_broker(act)[0] == [("dead", b"lost")]


def test_a_client_of_the_same_name_takes_over_and_the_will_fires():
    async def act(_broker, join):
        _, inbox = await join("watcher", "#")
        old, _ = await join("device", will=("state", b"1 lost"))
        new, _ = await join("device", will=("state", b"2 lost"))
        await settle()
        return inbox, old.connected, new.connected

    assert on_a_broker(act)[0] == ([("state", b"1 lost")], False, True)


def test_what_was_on_its_way_to_a_session_that_ended_is_lost():
    async def act(_broker, join):
        one, _ = await join("one")
        two, inbox = await join("two", "a")
        one.publish("a", b"lost")
        two.kill()
        await two.connect(1)
        one.publish("a", b"heard")
        await settle()
        return inbox

    assert on_a_broker(act)[0] == [("a", b"heard")]


def test_a_broken_handler_is_told_and_the_others_hear_the_message():
    async def act(_broker, join):
        def broken(topic, payload):
            raise ZeroDivisionError(payload)

        await join("broken", "a", on_message=broken)
        one, inbox = await join("one", "a")
        one.publish("a", b"1")
        await settle()
        return inbox

    inbox, errors = on_a_broker(act)
    assert inbox == [("a", b"1")]
    assert [type(error) for error in errors] == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("filter_", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("#", "sport", True),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
    ],
)
def test_filters_match_as_the_standard_says(filter_, topic, expected):
    assert _matches(filter_.split("/"), topic.split("/")) is expected
