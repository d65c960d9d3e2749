"""Which addresses and URLs a webhook may have."""

from ipaddress import ip_address, ip_network

import pytest

from api.webhook_sender import refusal


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "::127.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ),
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    assert "not a public address" in refusal(ip_address(address), (), is_plain=False)


def test_a_public_address_needs_https_and_a_listed_network_does_not():
    public = ip_address("93.184.216.34")
    assert refusal(public, (), is_plain=False) is None
    assert refusal(ip_address("64:ff9b::5db8:d822"), (), is_plain=False) is None
    assert "use https" in refusal(public, (), is_plain=True)
    assert (
        refusal(ip_address("::ffff:10.0.0.1"), (ip_network("10.0.0.0/8"),), is_plain=True) is None
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "https://",
        "https://user:pass@example.org",
        "https://e.org/#a",
        "http:x",
    ],
)
def test_an_url_to_which_nothing_can_be_sent_is_refused(client, url):
    answer = client.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")
