"""`microfed run` without a broker, and what `microfed devices` says of it."""

import json

from aggregator.records import read_record
from tests.cli.conftest import MODEL


def test_a_run_in_memory_is_the_run_through_a_broker(microfed, small, tmp_path, mosquitto):
    ends = {}
    for transport in ("memory", "gateway"):
        run = tmp_path / transport
        ended = microfed(
            *("run", small, "--model", MODEL, "--out", run, "--json"),
            *("--set", f"fleet.transport={transport}"),
        )
        assert ended.code == 0, ended.err
        assert ended.json["updates"] == 18
        assert (run / "report.html").stat().st_size > 10_000
        tallies = [json.loads(path.read_text()) for path in run.glob("fleet-*.json")]
        assert sum(tally["accepted"] for tally in tallies) == 18
        ends[transport] = (run / "model.tflite").read_bytes()
    assert ends["memory"] == ends["gateway"]


def test_a_run_in_memory_that_had_too_few_rounds_goes_on(microfed, small, tmp_path):
    run, start = tmp_path / "run", ("--set", "fleet.transport=memory")
    ended = microfed("run", small, "--model", MODEL, "--out", run, *start)
    assert ended.code == 0, ended.err
    config = run / "config.toml"
    config.write_text(config.read_text().replace("rounds = 3", "rounds = 5"))
    again = microfed("run", "--resume", run)
    assert again.code == 0, again.err
    assert [r.accepted for r in read_record(run).rounds[1:]] == [6] * 5


def test_devices_alone_have_no_broker_in_memory(microfed, small):
    refused = microfed(
        "devices", small, "--broker", "mqtt://127.0.0.1:1", "--set", "fleet.transport=memory"
    )
    assert refused.code == 2
    assert "fleet.transport" in refused.err
