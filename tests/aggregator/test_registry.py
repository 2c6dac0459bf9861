from aggregator.registry import Registry
from wire.messages import Hello, Presence, Status


def hello(session):
    return Hello(session, 1, 1024, 10, "test")


def test_a_hello_makes_a_device_known_and_its_death_takes_it_away():
    registry = Registry(10)
    assert registry.hello("b", hello(1), 0.0, ())
    assert registry.hello("a", hello(4), 0.0, ())
    assert registry.here().ids == ["a", "b"]
    assert registry.presence("a", Presence(4, Status.LOST), 1.0)
    assert (registry.here().ids, registry.online, "a" in registry) == (["b"], 1, True)


def test_the_late_death_of_an_older_session_says_nothing():
    registry = Registry(10)
    registry.hello("a", hello(2), 0.0, ())
    for status in (Status.LOST, Status.SLEEPING):
        assert not registry.presence("a", Presence(1, status), 1.0)
    assert registry.here().ids == ["a"]


def test_a_birth_of_a_newer_session_waits_for_its_hello():
    registry = Registry(10)
    registry.hello("a", hello(2), 0.0, ())
    registry.presence("a", Presence(2, Status.ONLINE), 1.0)
    assert registry.online == 1
    registry.presence("a", Presence(3, Status.ONLINE), 1.0)
    assert registry.online == 0
    registry.hello("a", hello(3), 1.0, ())
    assert registry.online == 1


def test_a_hello_of_an_older_session_is_refused_while_the_newer_is_there():
    registry = Registry(10)
    registry.hello("a", hello(5), 0.0, ())
    assert not registry.hello("a", hello(4), 1.0, ())
    assert registry.get("a").hello.session == 5


def test_a_device_that_forgot_its_sessions_may_begin_again_when_the_last_is_over():
    registry = Registry(10)
    registry.hello("a", hello(5), 0.0, ())
    registry.presence("a", Presence(5, Status.LOST), 1.0)
    assert registry.hello("a", hello(1), 2.0, ())
    assert registry.online == 1


def test_awake_are_all_who_have_not_said_that_they_leave():
    registry = Registry(10)
    for name in "abc":
        registry.hello(name, hello(2), 0.0, ())
    registry.presence("a", Presence(2, Status.SLEEPING), 1.0)
    registry.presence("b", Presence(2, Status.LOST), 1.0)
    assert (registry.online, registry.awake) == (1, 2)
    registry.presence("b", Presence(1, Status.SLEEPING), 2.0)  # of a session before its death
    registry.presence("b", Presence(3, Status.ONLINE), 2.0)
    assert registry.awake == 2
    registry.presence("b", Presence(3, Status.SLEEPING), 3.0)  # it had nothing more to say
    registry.all_gone(4.0)
    assert (registry.online, registry.awake) == (0, 1)
    registry.hello("a", hello(3), 5.0, ())
    assert registry.awake == 2


def test_presence_of_a_stranger_costs_nothing():
    registry = Registry(10)
    for i in range(1000):
        registry.presence(f"x{i}", Presence(1, Status.ONLINE), 0.0)
    assert len(registry) == 0


def test_a_full_registry_turns_strangers_away_until_somebody_is_gone():
    registry = Registry(3)
    for i, name in enumerate("abc"):
        registry.hello(name, hello(1), float(i), ())
    assert not registry.hello("d", hello(1), 9.0, ())
    registry.presence("b", Presence(1, Status.LOST), 10.0)
    registry.presence("a", Presence(1, Status.LOST), 11.0)
    assert not registry.hello("d", hello(1), 12.0, {"a", "b"}), "members of the round stay"
    assert registry.hello("d", hello(1), 12.0, ())
    assert ("a" in registry, "b" in registry, len(registry)) == (True, False, 3)


def test_after_a_reconnect_nobody_is_there_until_the_next_hello():
    registry = Registry(3)
    registry.hello("a", hello(1), 0.0, ())
    registry.all_gone(1.0)
    assert registry.online == 0
    registry.hello("a", hello(1), 2.0, ())
    registry.hello("a", hello(1), 3.0, ())
    assert registry.online == 1


def test_devices_go_with_their_gateway_and_come_back_by_their_hello():
    registry = Registry(9)
    for device, gateway in (("a", "north"), ("b", "north"), ("c", "south"), ("d", "")):
        hello = Hello(1, 1, 1024, 5, "esp32", gateway=gateway)
        assert registry.hello(device, hello, 0.0, ())
    assert registry.gateway("north", Presence(3, Status.LOST), 1.0) == ["a", "b"]
    assert registry.here().ids == ["c", "d"]
    assert registry.awake == 4, "they may come back"
    assert registry.hello("a", Hello(2, 1, 1024, 5, "esp32", gateway="north"), 2.0, ())
    assert registry.gateway("north", Presence(2, Status.LOST), 3.0) == [], "an older session's will"
    assert registry.here().ids == ["a", "c", "d"]
    assert registry.gateway("north", Presence(4, Status.ONLINE), 4.0) == ["a"], "a new session"
    assert registry.online == 2


def test_a_gateway_that_no_hello_has_named_is_nobody():
    registry = Registry(9)
    assert registry.gateway("stranger", Presence(1, Status.LOST), 0.0) == []
    assert not registry._gateways
