import pytest

from mqtt_client.endpoint import BrokerUnreachable, Endpoint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://127.0.0.1:1884", Endpoint("127.0.0.1", 1884)),
        ("mqtt://broker.example", Endpoint("broker.example", 1883)),
        ("mqtt://broker.example/", Endpoint("broker.example", 1883)),
        ("mqtt://[::1]:1884", Endpoint("::1", 1884)),
        ("mqtt://me@host:7", Endpoint("host", 7, "me")),
    ],
)
def test_an_address_is_read(url, expected):
    assert Endpoint.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "host:1883", "http://host", "mqtt://", "mqtt://:1883", "mqtt://host/topic",
     "mqtt://host:0", "mqtt://host:65536", "mqtt://host:port"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match=r"address .*(allowed|port must be 1 to 65535)"):
        Endpoint.parse(url)


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="must not hold a password") as caught:
        Endpoint.parse("mqtt://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_a_password_does_not_show_in_the_text_of_an_endpoint():
    endpoint = Endpoint.parse("mqtt://me@host", password="hunter2")
    assert endpoint.password == "hunter2"
    assert "hunter2" not in repr(endpoint) + str(endpoint)


def test_an_endpoint_prints_as_an_address_that_reads_back():
    for url in ("mqtt://host:1884", "mqtt://[::1]:1884"):
        assert str(Endpoint.parse(url)) == url


def test_unreachable_names_host_port_and_reason():
    error = BrokerUnreachable("host", 7, "nobody there")
    assert (error.host, error.port, error.why) == ("host", 7, "nobody there")
    assert str(error) == "broker mqtt://host:7 cannot be used: nobody there"
