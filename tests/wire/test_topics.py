"""Topic names, and the settings of the wire."""

import subprocess
import sys
from typing import get_args

import pytest
from pydantic import ValidationError

from wire.codec import CODECS
from wire.settings import WireSettings
from wire.topics import Topics

TOPICS = Topics("greenhouse")


def test_the_aggregator_knows_a_sender_by_its_topic():
    assert TOPICS.sender("microfed/v1/greenhouse/d/pot-7/up") == ("pot-7", "up")
    assert TOPICS.sender("microfed/v1/greenhouse/d/pot-7/state") == ("pot-7", "state")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "microfed/v1/greenhouse/d/pot-7/down",
        "microfed/v1/greenhouse/a/round",
        "microfed/v1/greenhouse/a/pot-7/up",
        "microfed/v1/cellar/d/pot-7/up",
        "microfed/v2/greenhouse/d/pot-7/up",
        "microfed/v1/greenhouse/d/pot-7/up/more",
        "microfed/v1/greenhouse/d//up",
        "microfed/v1/greenhouse/d/pot 7/up",
        "microfed/v1/greenhouse/d/pot-7\n/up",
        "microfed/v1/greenhouse/d/" + "x" * 33 + "/up",
        "/microfed/v1/greenhouse/d/pot-7/up",
    ],
)
def test_a_topic_that_no_device_writes_has_no_sender(topic):
    assert TOPICS.sender(topic) is None


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "ü", "a b", "x" * 33, "a\n"])
def test_a_fleet_is_named_so_that_its_name_is_one_topic_level(name):
    with pytest.raises(ValueError, match="1 to 32 letters"):
        Topics(name)


def test_a_device_listens_to_itself_and_to_the_announcement_and_the_aggregator_to_all():
    assert TOPICS.down("pot-7") == "microfed/v1/greenhouse/d/pot-7/down"
    assert TOPICS.announce == "microfed/v1/greenhouse/a/round"
    assert TOPICS.from_devices == (
        "microfed/v1/greenhouse/d/+/state",
        "microfed/v1/greenhouse/d/+/up",
        "microfed/v1/greenhouse/g/+/state",
    )


def test_the_settings_offer_every_codec_and_blocks_that_a_device_may_take():
    assert set(get_args(WireSettings.model_fields["codec"].annotation)) == set(CODECS)
    assert (WireSettings().codec, WireSettings().block) == ("microfed", 1024)
    for wrong in ({"codec": "int4"}, {"block": 255}, {"block": 131_073}, {"blocks": 1024}):
        with pytest.raises(ValidationError):
            WireSettings(**wrong)


def test_settings_and_messages_are_quick_to_import():
    heavy = "import wire.settings, sys; print({'numpy', 'cbor2', 'paho'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
