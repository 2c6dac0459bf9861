"""Passwords come from a file or the environment, and Mosquitto checks them."""

import asyncio
import stat
from pathlib import Path

import pytest

from mqtt_broker.broker import start
from mqtt_broker.credentials import VARIABLE, mosquitto_entry, password_of
from mqtt_broker.errors import BrokerError
from mqtt_broker.mosquitto import find_mosquitto
from mqtt_broker.settings import BrokerSettings
from mqtt_client.connection import Connection
from mqtt_client.endpoint import BrokerUnreachable, Endpoint

needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)


def test_without_a_user_there_is_no_password(monkeypatch):
    monkeypatch.setenv(VARIABLE, "hunter2")
    assert password_of(BrokerSettings()) is None


def test_the_file_comes_before_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_bytes("päss wörd \r\nsecond line\n".encode())
    monkeypatch.setenv(VARIABLE, "hunter2")
    assert password_of(BrokerSettings(username="me")) == "hunter2"
    assert password_of(BrokerSettings(username="me", password_file=str(file))) == "päss wörd "


def test_a_user_without_a_password_is_told_where_one_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(BrokerError, match=f"no password for user 'me': {VARIABLE}"):
        password_of(BrokerSettings(username="me"))
    file = tmp_path / "secret"
    with pytest.raises(BrokerError, match=r"secret: .*No such file"):
        password_of(BrokerSettings(username="me", password_file=str(file)))
    file.write_text("\n")
    with pytest.raises(BrokerError, match=r"the first line of .*secret is empty"):
        password_of(BrokerSettings(username="me", password_file=str(file)))


def test_an_entry_is_what_mosquitto_passwd_writes():
    # The digest is OpenSSL's: openssl kdf -keylen 64 -kdfopt digest:SHA512 -kdfopt pass:hunter2
    # -kdfopt hexsalt:000102030405060708090a0b -kdfopt iter:1000 -binary PBKDF2 | base64 -w0
    digest = (
        "cK9QJEgADvKpCwPGxGBAcS8PPs1AlYCZFvW2qY38neOizETb0SS2lwcg2GYi7TcWksnim31jGVPMPPYJlHux5A=="
    )
    entry = mosquitto_entry("me", "hunter2", bytes(range(12)))
    assert entry == f"me:$7$1000$AAECAwQFBgcICQoL${digest}\n"


def attempt(endpoint):
    async def run():
        client = Connection(endpoint, "client", on_message=lambda topic, payload: None)
        await client.connect(5)
        await client.disconnect()

    asyncio.run(run())


@needs_mosquitto
def test_mosquitto_lets_in_whoever_knows_the_password_and_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "hunter2")
    tmp_path.chmod(0o700)  # as below /root: closed to the user that Mosquitto becomes
    with start(BrokerSettings(kind="mosquitto", username="me"), tmp_path) as broker:
        host, port = broker.endpoint.host, broker.endpoint.port
        attempt(broker.endpoint)
        for username, password in ((None, None), ("me", "wrong"), ("you", "hunter2")):
            with pytest.raises(BrokerUnreachable, match="refused: Not authorized") as caught:
                attempt(Endpoint(host, port, username, password))
            assert caught.value.port == port
        broker.restart()
        attempt(broker.endpoint)


@needs_mosquitto
def test_the_password_is_nowhere_that_others_can_read(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "hunter2")
    with start(BrokerSettings(kind="mosquitto", username="me"), tmp_path) as broker:
        config = (tmp_path / "mosquitto.conf").read_text()
        file = next(line.split()[1] for line in config.splitlines() if "password_file" in line)
        file = Path(file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert "hunter2" not in file.read_text() + config
        command = Path(f"/proc/{broker.pid}/cmdline")
        assert not command.exists() or b"hunter2" not in command.read_bytes()
    assert not file.parent.exists()
