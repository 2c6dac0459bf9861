import pytest

from mqtt_client.connection import Connection


class Inbox(list):
    """Messages of one topic tree, in the order of their arrival."""

    def put(self, topic: str, payload: bytes) -> None:
        self.append((topic, payload))


@pytest.fixture
def listen():
    """Connect a listener to some topics: `connection, inbox = await listen(broker, name, *topics)`."""

    async def connect(broker, name: str, *topics: str) -> tuple[Connection, Inbox]:
        inbox = Inbox()
        connection = Connection(broker.endpoint, name, on_message=inbox.put)
        connection.subscribe(*topics)
        await connection.connect(5)
        return connection, inbox

    return connect
