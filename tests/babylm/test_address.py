"""Addresses of services. Requests to this machine never go through a proxy."""

import subprocess

import pytest

from babylm.client import Client, ServiceUnreachable
from babylm.client.address import Address, is_loopback, parse_address, proxy_for
from babylm.client.errors import InvalidUsage
from babylm.fetch import fetch_file
from core.process.program import python_command
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, stub_service

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8641", Address("http://127.0.0.1:8641")),
        ("localhost:1", Address("http://localhost:1")),
        ("[::1]:8000", Address("http://[::1]:8000")),
        ("https://example.org/babylm/", Address("https://example.org/babylm")),
        ("unix:/run/b.sock", Address("http://localhost", socket="/run/b.sock")),
        ("unix:///run/b.sock", Address("http://localhost", socket="/run/b.sock")),
        ("http+unix://%2Frun%2Fb.sock", Address("http://localhost", socket="/run/b.sock")),
    ],
)
def test_an_address_may_lack_its_scheme_or_be_a_socket(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["ftp://host", "http://", "", "http://h:99999", "127.0.0.1:abc", "http://a b", "http://[::1"],
)
def test_an_invalid_address_is_a_usage_error(text):
    with pytest.raises(InvalidUsage, match="address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::ffff:127.0.0.1", True),
        ("app.localhost", True),
        ("localhost.example.org", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected


def test_the_unspecified_address_is_this_machine_as_a_destination():
    assert parse_address("0.0.0.0:8000").is_local
    assert not parse_address("10.0.0.1:8000").is_local


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http", "socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_the_key_never_goes_to_a_proxy_on_the_way_to_this_machine(
    stub, monkeypatch, variable, proxy
):
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [], "next": None})
    with stub_service() as proxy_server:
        monkeypatch.setenv(variable, proxy_server.url if proxy == "http" else proxy)
        with Client(stub.url, api_key="secret") as client:
            assert client.jobs() == []
        assert proxy_server.requests == []
    assert stub.requests[0].headers["authorization"] == "Bearer secret"


def test_a_download_from_this_machine_ignores_proxies_also_after_a_redirect(
    stub, monkeypatch, tmp_path
):
    stub.routes["GET /a.txt"] = Answer(302, None, {"Location": f"{stub.url}/b.txt"})
    stub.routes["GET /b.txt"] = Answer(200, b"text")
    with stub_service() as proxy_server:
        monkeypatch.setenv("http_proxy", proxy_server.url)
        fetch_file(f"{stub.url}/a.txt", tmp_path / "a.txt")
        assert proxy_server.requests == []
        # A file of another host is fetched through the proxy, which redirects to this machine.
        redirect = Answer(302, None, {"Location": f"{stub.url}/b.txt"})
        proxy_server.routes["GET http://files.example/c.txt"] = redirect
        fetch_file("http://files.example/c.txt", tmp_path / "c.txt")
        assert [request.path for request in proxy_server.requests] == ["http://files.example/c.txt"]
    assert (tmp_path / "c.txt").read_text() == "text"


def test_a_remote_service_is_reached_through_the_proxy(monkeypatch):
    with stub_service() as proxy_server:
        proxy_server.routes["GET http://babylm.example/v1/jobs"] = Answer(200, {"data": []})
        monkeypatch.setenv("http_proxy", proxy_server.url)
        with Client("babylm.example") as client:
            assert client.jobs() == []


def test_a_dead_proxy_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:password@127.0.0.1:1")
    assert proxy_for("http://babylm.example") == ("http_proxy", "http://127.0.0.1:1")
    with Client("babylm.example") as client, pytest.raises(ServiceUnreachable) as raised:
        client.jobs()
    assert "through the proxy http://127.0.0.1:1" in raised.value.message
    assert "NO_PROXY" in str(raised.value.hint)
    monkeypatch.setenv("no_proxy", "babylm.example")
    assert proxy_for("http://babylm.example") is None


@pytest.mark.parametrize(
    ("proxy", "said"),
    [("socks5://127.0.0.1:9", "pip install socksio"), ("gopher://127.0.0.1:9", "http://HOST:PORT")],
)
def test_an_unusable_proxy_gives_an_error_message(proxy, said, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    done = subprocess.run(
        python_command("babylm.main", "jobs", "--url", "http://babylm.example"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"ALL_PROXY is {proxy}" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("datasets", "add", "NAME", "a.txt"),
        ("datasets", "add", "NAME", "--hub", "owner/name"),
        ("datasets", "delete", "NAME"),
        ("evaluations", "add", "NAME", "a.txt"),
        ("tokenizer", "add", "NAME", "a.txt"),
        ("show", "NAME"),
        ("study-show", "NAME"),
        ("webhooks", "delete", "NAME"),
        ("webhooks", "redeliver", "abc", "NAME"),
    ],
)
def test_a_name_that_leads_to_another_path_is_refused_before_the_request(
    run, stub, tmp_path, words
):
    (tmp_path / "a.txt").write_text("text")
    stub.routes["GET /v1/studies"] = Answer(200, {"data": []})
    for name in ("../jobs/0123", "..", ".", "", "a/b"):
        given = [name if word == "NAME" else word for word in words]
        error = error_of(run(*given, "--url", stub.url))
        assert (error.status, error.message.startswith(f"{name!r} cannot be a")) == (2, True)
        assert error.hint
    assert {request.path.split("?")[0] for request in stub.requests} <= {"/v1/studies"}


def test_a_name_is_quoted_in_the_path(run, stub):
    for words in (("webhooks", "delete"), ("datasets", "delete"), ("show",)):
        stub.requests.clear()
        run(*words, "a?b#c d", "--url", stub.url)
        assert stub.requests[0].path.endswith("/a%3Fb%23c%20d")
