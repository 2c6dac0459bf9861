"""The node's MQTT client under the address and undefined-behaviour sanitizers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "firmware" / "node"
TESTS = ("test_mqtt_client.py", "hostile_mqtt.py")


def runtime():
    """The sanitizer's own library, which must be loaded before everything else."""
    named = ["cc", "-print-file-name=libasan.so"]
    try:
        found = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C compiler")
    return found if found.startswith("/") else pytest.skip("needs the address sanitizer")


@pytest.mark.slow
def test_good_and_hostile_brokers_touch_no_memory_but_its_own():
    """Their tests pass in a process that ends at the first bad access or overflow."""
    environment = os.environ | {
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "MICROFED_MQTT": str(ROOT / "build/node/checked/libmqtt.so"),
    }
    subprocess.run(["make", "-s", "-C", NODE, "checked"], check=True)
    tests = [ROOT / "tests" / "node" / name for name in TESTS]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert " passed" in ended.stdout


def test_every_play_that_the_fuzzer_kept_still_ends_well():
    """tests/fuzz/mqtt.c over tests/fuzz/mqtt, under the same sanitizers."""
    runtime()
    ended = subprocess.run(
        ["make", "-s", "-C", NODE, "replay"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert int(ended.stdout.split()[0]) >= 30
