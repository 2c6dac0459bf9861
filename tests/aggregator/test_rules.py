import numpy as np
import pytest

from aggregator.rules import FedAdam, FedAvg, FedAvgM, rule_of
from aggregator.settings import FederatedSettings


def walk(rule, means):
    state, steps = rule.init(len(means[0])), []
    for mean in means:
        step, state = rule.apply(state, np.float64(mean))
        steps.append(step.tolist())
    return steps, state


def test_fedavg_moves_by_the_mean_and_keeps_nothing():
    steps, state = walk(FedAvg(0.5), [[2.0, -4.0], [1.0, 0.0]])
    assert steps == [[1.0, -2.0], [0.5, 0.0]]
    assert state == ()


def test_fedavgm_carries_its_velocity_on():
    # v = 0.5 v + mean: 4, 2 + 2 = 4, 2 + 0 = 2; half of each is the step
    steps, state = walk(FedAvgM(0.5, 0.5), [[4.0], [2.0], [0.0]])
    assert steps == [[2.0], [2.0], [1.0]]
    assert state[0].tolist() == [2.0]


def test_fedadam_is_algorithm_2_of_reddi_et_al():
    # m = 0.1 · 0.02 = 0.002; v = 0.99 · 1e-6 + 0.01 · 4e-4 = 4.99e-6; sqrt(v) = 0.0022338...
    # then m = 0.0018, v = 4.9401e-6, sqrt(v) = 0.0022226...
    steps, state = walk(FedAdam(0.1, 0.9), [[0.02], [0.0]])
    assert steps[0][0] == pytest.approx(0.1 * 0.002 / (0.0022338308 + 0.001), rel=1e-7)
    assert steps[1][0] == pytest.approx(0.1 * 0.0018 / (0.0022226336 + 0.001), rel=1e-7)
    assert [part.tolist()[0] for part in state] == pytest.approx([0.0018, 4.9401e-6])


@pytest.mark.parametrize("rule", [FedAvgM(1.0, 0.9), FedAdam(0.1, 0.9)])
def test_a_rule_goes_on_from_its_state_as_bytes_bit_for_bit(rule, rng):
    means = rng.normal(0, 0.01, (6, 30))
    straight, _ = walk(rule, means)
    _, state = walk(rule, means[:3])
    state = tuple(np.frombuffer(part.tobytes()) for part in state)
    for mean, expected in zip(means[3:], straight[3:], strict=True):
        step, state = rule.apply(state, mean)
        assert step.tolist() == expected


@pytest.mark.parametrize("rule", [FedAvgM(1.0, 0.9), FedAdam(0.1, 0.9)])
def test_a_rule_does_not_change_the_state_it_was_given(rule):
    state = rule.init(3)
    before = [part.tolist() for part in state]
    rule.apply(state, np.float64([1, 2, 3]))
    assert [part.tolist() for part in state] == before


def test_the_settings_name_the_rule():
    settings = FederatedSettings(rule="fedadam", server_learning_rate=0.01, server_momentum=0.8)
    assert rule_of(settings) == FedAdam(0.01, 0.8)
    assert rule_of(FederatedSettings()) == FedAvg(1.0, 0.9)
