"""The node's MQTT client under the address and undefined-behaviour sanitizers."""

import subprocess

import pytest

from tests.sanitizer import ROOT, passes, runtime

NODE = ROOT / "firmware" / "node"
TESTS = ("test_mqtt_messages.py", "test_mqtt_connection.py", "hostile_mqtt.py")


@pytest.mark.slow
def test_good_and_hostile_brokers_touch_no_memory_but_its_own():
    """Their tests pass in a process that ends at the first bad access or overflow."""
    library = ROOT / "build/node/checked/libmqtt.so"
    passes(NODE, [ROOT / "tests" / "node" / name for name in TESTS], MICROFED_MQTT=str(library))


def test_every_play_that_the_fuzzer_kept_still_ends_well():
    """tests/fuzz/mqtt.c over tests/fuzz/mqtt, under the same sanitizers."""
    runtime()
    ended = subprocess.run(
        ["make", "-s", "-C", NODE, "replay"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert int(ended.stdout.split()[0]) >= 30
