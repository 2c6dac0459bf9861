"""Running a fleet's rounds, from settings and a base file to a better one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

from aggregator.course import Course, Made, Plan, Run
from aggregator.edge import Edge
from aggregator.outlet import write_models
from aggregator.records import RoundRecord
from aggregator.rules import rule_of
from aggregator.schema import Loaded
from aggregator.settings import FederatedSettings
from aggregator.store import Store
from aggregator.versions import Model, Versions
from mqtt_client.client import Broker
from wire.settings import WireSettings
from wire.topics import Topics


async def aggregate(
    *,
    broker: Broker,
    fleet: str,
    base: bytes,
    run_dir: Path,
    settings: FederatedSettings,
    wire: WireSettings,
    expected: int,
    seed: int,
    evaluate: Callable[[bytes], float],
    on_round: Callable[[RoundRecord], None],
) -> bool:
    """Run a fleet's rounds until all have closed; go on where `run_dir` left off.

    Returns whether they have; if not it was asked to stop (SIGINT, SIGTERM; cancelling
    does as much), and can be resumed.  `run_dir` has state.sqlite, which
    records.read_record reads, model.tflite (the newest version) and best.tflite
    (the most accurate).

    Args:
        broker: where it is, or the broker itself when it is in memory.
        fleet: one topic level: which devices these are.
        base: the int8 .tflite that version 0 is.
        run_dir: made if missing; the same arguments resume what it holds.
        settings: the [federated] section.
        wire: the [wire] section.
        expected: devices the experiment has; waited for unless settings say how many.
        seed: of cohorts and of the tasks' seeds.
        evaluate: accuracy of a .tflite file; runs in a thread of its own.
        on_round: called on the loop after each round, and with number 0 for
            the base file when the run is new.

    Raises:
        StoreMismatchError: `run_dir` holds another run.
        RunBusyError: another process works on it.
        QuorumLostError: three rounds in a row did not reach their quorum.
        BrokerUnreachable: the first connect failed; a later loss is waited out.
        ModelError: `base` cannot be trained, or has no part `settings.train`.
    """
    plan, topics = Plan(settings, wire, settings.min_devices or expected, seed), Topics(fleet)
    with (
        Store(run_dir, _identity(base, topics, plan)) as store,
        ThreadPoolExecutor(1, "evaluate") as executor,
    ):
        versions = Versions(base, store.weights, settings.train)
        loaded = store.load()
        if loaded is None:
            loaded = await _begin(
                executor, evaluate, base, versions.first(rule_of(settings)), store
            )
            on_round(RoundRecord(0, 0, store.accuracies()[0]))
        write = partial(write_models, run_dir, versions, store)
        write()
        run = Run(plan, topics, versions, store, loaded, on_round)
        return await Edge(broker, run, partial(_make, executor, evaluate), write).run()


async def _begin(
    executor: Executor,
    evaluate: Callable[[bytes], float],
    base: bytes,
    first: Model,
    store: Store,
) -> Loaded:
    accuracy = await asyncio.get_running_loop().run_in_executor(executor, evaluate, base)
    return store.begin(first, accuracy)


async def _make(executor: Executor, evaluate: Callable[[bytes], float], course: Course) -> Made:
    if not course.evaluates:  # it is made in less time than a thread wakes up
        return course.make(evaluate)
    return await asyncio.get_running_loop().run_in_executor(executor, course.make, evaluate)


def _identity(base: bytes, topics: Topics, plan: Plan) -> dict[str, object]:
    """What must be the same for a run to be resumed.  More rounds may be asked for."""
    federated = plan.settings.model_dump(exclude={"rounds"})
    return {
        "base": sha256(base).hexdigest(),
        "fleet": topics.fleet,
        "seed": plan.seed,
        **{f"federated.{key}": value for key, value in federated.items()},
        **{f"wire.{key}": value for key, value in plan.wire.model_dump().items()},
    }
