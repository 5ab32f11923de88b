"""Where webhooks may go: the table of addresses and URLs."""

import pytest

from swapdesk.webhooks.targets import BadTarget, check_url, may_connect


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.0.170", "192.0.2.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:7f00:1::1",
        "2002:a00:1::", "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe", "100::1", "fec0::1",
        "not an address", "",
    ],
)  # fmt: skip
def test_addresses_that_are_never_called(address: str) -> None:
    """Private, local, special and multicast, however wrapped (incidents 36)."""
    assert not may_connect(address, allow_loopback=False)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
     "2002:808:808::1"],
)  # fmt: skip
def test_public_addresses_may_be_called(address: str) -> None:
    """Public unicast addresses, also behind a translation to a public address."""
    assert may_connect(address, allow_loopback=False)


def test_the_switch_opens_loopback_and_nothing_else() -> None:
    """Development: loopback yes, private networks still no."""
    assert may_connect("127.0.0.1", allow_loopback=True)
    assert may_connect("::1", allow_loopback=True)
    assert not may_connect("192.168.1.1", allow_loopback=True)
    assert not may_connect("169.254.169.254", allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/", "ftp://shop.example/", "https://", "https:///x", "//shop.example/",
        "https://user@shop.example/", "https://user:pw@shop.example/", "https://shop.example/#x",
        "https://10.0.0.1/", "https://[::1]/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/",
        "https://shop.example:0/", "https://shop.example:99999/", "https://shop example/",
        "https://shöp.example/", "https://shop.example/\n", "x" * 501, "", "http://localhost/",
        "http://127.0.0.1/",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    """Only https to a public name or address, without credentials or fragment."""
    with pytest.raises(BadTarget):
        check_url(url, allow_loopback=False)


def test_urls_that_are_taken() -> None:
    """https anywhere public; with the switch http on loopback too, as an address or localhost."""
    for url in ("https://shop.example/hook?x=1", "https://shop.example:8443/", "https://1.1.1.1/"):
        assert check_url(url, allow_loopback=False) == url
    for url in ("http://127.0.0.1:8000/hook", "http://localhost:1/", "http://[::1]:8000/"):
        assert check_url(url, allow_loopback=True) == url
    for url in ("http://shop.example/", "http://10.0.0.1/"):
        with pytest.raises(BadTarget):
            check_url(url, allow_loopback=True)
