"""Many connections on one loop, and counts that agree with the broker's own."""

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from mqtt_broker.broker import start
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.traffic import Traffic

COUNTS = "$SYS/broker/publish/bytes/"


def test_a_thousand_connections_open_in_seconds_and_each_gets_its_own_messages(
    mosquitto, unique, listen, eventually
):
    async def run():
        hub, inbox = await listen(mosquitto, unique, f"{unique}/up/+")
        devices = [
            Connection(
                mosquitto.endpoint,
                f"{unique}-{index}",
                on_message=lambda topic, payload, index=index: devices[index].publish(
                    f"{unique}/up/{index}", payload
                ),
            )
            for index in range(1000)
        ]
        began, before = time.perf_counter(), resident()
        for index, device in enumerate(devices):
            device.subscribe(f"{unique}/down/{index}")
        await asyncio.gather(*(device.connect(60) for device in devices))
        took, each = time.perf_counter() - began, (resident() - before) / 1000
        for index in range(1000):
            hub.publish(f"{unique}/down/{index}", b"%d" % index)
        await eventually(lambda: len(inbox) == 1000, within=60)
        await asyncio.gather(*(device.disconnect() for device in devices))
        await hub.disconnect()
        assert sum((device.traffic for device in devices), Traffic()) == Traffic(
            1000, 1000, hub.traffic.bytes_out, hub.traffic.bytes_in
        )
        return took, each, sorted(inbox)

    took, each, inbox = asyncio.run(run())
    assert inbox == sorted((f"{unique}/up/{index}", b"%d" % index) for index in range(1000))
    assert took < 60  # half a second on an idle machine
    assert each < 64 * 1024  # 12 KB


def resident():
    """Bytes of memory that this process holds."""
    gc.collect()
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def test_an_idle_thousand_connections_cost_next_to_nothing(mosquitto, unique):
    async def run():
        devices = [
            Connection(mosquitto.endpoint, f"{unique}-{index}", on_message=lambda *_: None)
            for index in range(1000)
        ]
        await asyncio.gather(*(device.connect(60) for device in devices))
        tasks = len(asyncio.all_tasks())
        before = time.process_time()
        await asyncio.sleep(2)
        spent = time.process_time() - before
        await asyncio.gather(*(device.disconnect() for device in devices))
        return tasks, spent / 2

    tasks, spent = asyncio.run(run())
    assert tasks == 1  # this one
    assert spent < 0.1  # of a core; 0.003 on an idle machine


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_traffic_is_what_mosquitto_counts(tmp_path, eventually):
    async def run(endpoint):
        counts = {}

        def note(topic, payload):
            counts[topic.removeprefix(COUNTS)] = int(payload)

        monitor = Connection(endpoint, "monitor", on_message=note)
        monitor.subscribe(COUNTS + "+")
        await monitor.connect(5)
        will = ("state/2", bytes(11))
        clients = [
            Connection(endpoint, f"client-{i}", on_message=lambda *_: None, will=will)
            for i in range(3)
        ]
        for index, client in enumerate(clients):
            client.subscribe(f"down/{index}", "all", "state/+")
            client.publish("all", bytes(3))  # queued before there is a connection
            await client.connect(5)
        for size in range(100):
            clients[size % 3].publish(f"down/{(size + 1) % 3}", bytes(100 * size))
        clients[0].publish("all", bytes(1000), retain=True)
        await asyncio.gather(*(client.drain(5) for client in clients))
        clients[2].kill()
        total = Traffic()

        def agreed():
            nonlocal total
            total = sum((client.traffic for client in (*clients, monitor)), Traffic())
            up = counts.get("received") == total.bytes_out
            # What the monitor hears of the counts is itself sent, and counted a second later.
            return up and abs(counts["sent"] - total.bytes_in) <= 60

        await eventually(agreed)
        for client in (*clients[:2], monitor):
            await client.disconnect()
        return total

    with start(BrokerSettings(kind="mosquitto"), tmp_path) as broker:
        total = asyncio.run(run(broker.endpoint))
    assert total.bytes_out == 3 * 3 + 100 * sum(range(100)) + 1000


def test_no_message_is_dropped_for_a_receiver_that_looks_away(mosquitto, unique, eventually):
    # Mosquitto's own limit would be 1,000 messages; it says nothing when it drops.
    async def run():
        seen = []
        receiver = Connection(
            mosquitto.endpoint, unique + "-r", on_message=lambda _, payload: seen.append(payload)
        )
        receiver.subscribe(f"{unique}/up")
        await receiver.connect(5)
        sender = Connection(mosquitto.endpoint, unique, on_message=lambda *_: None)
        thread = threading.Thread(target=asyncio.run, args=(flood(sender),))
        thread.start()
        thread.join()  # and with it this loop stands still
        assert not seen
        await eventually(lambda: len(seen) >= 5000, within=60)
        await receiver.disconnect()
        return seen

    async def flood(sender):
        await sender.connect(5)
        for index in range(5000):
            sender.publish(f"{unique}/up", b"%d" % index)
        await sender.drain(60)
        await sender.disconnect()

    assert asyncio.run(run()) == [b"%d" % index for index in range(5000)]
