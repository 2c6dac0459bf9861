"""Arguments and options that more than one command takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mqtt_broker.credentials import password_of
from mqtt_broker.settings import BrokerSettings
from mqtt_client.endpoint import Endpoint

config_argument = click.argument(
    "config", type=click.Path(dir_okay=False, path_type=Path), metavar="CONFIG"
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override one setting; may be given again.",
)
broker_option = click.option(
    "--broker",
    "broker_url",
    required=True,
    metavar="mqtt://HOST:PORT",
    help="The broker to connect to.",
)


def endpoint_of(url: str, settings: BrokerSettings) -> Endpoint:
    """Return the broker that --broker names, with the user and password of the settings."""
    try:
        endpoint = Endpoint.parse(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--broker") from error
    username = endpoint.username or settings.username
    password = password_of(settings.model_copy(update={"username": username}))
    return replace(endpoint, username=username or None, password=password)
