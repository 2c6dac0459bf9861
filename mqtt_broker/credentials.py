"""The broker password: from a file or the environment, never from a command line."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from mqtt_broker.errors import BrokerError
from mqtt_broker.settings import BrokerSettings

VARIABLE = "MICROFED_BROKER_PASSWORD"
# Mosquitto checks passwords in its only thread: a thousand devices must not queue for minutes.
ITERATIONS = 1000


def password_of(settings: BrokerSettings) -> str | None:
    """The password of `settings.username`; None when there is no user name.

    The first line of `password_file`, else the environment's; BrokerError
    when neither has one.
    """
    if not settings.username:
        return None
    if settings.password_file:
        password = _first_line(settings.password_file)
        where = f"the first line of {settings.password_file}"
    else:
        password = os.environ.get(VARIABLE, "")
        where = f"{VARIABLE} in the environment (broker.password_file is not set)"
    if not password:
        raise BrokerError(f"no password for user {settings.username!r}: {where} is empty")
    return password


def mosquitto_entry(username: str, password: str, salt: bytes) -> str:
    """One line of a Mosquitto password file, as mosquitto_passwd writes it (PBKDF2, SHA-512)."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    words = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"{username}:$7${ITERATIONS}${words[0]}${words[1]}\n"


def _first_line(path: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"broker.password_file {path}: {error}") from error
    return text.partition("\n")[0].rstrip("\r")
