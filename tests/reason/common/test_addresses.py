"""Addresses that a client can use."""

import pytest

from reason.common.addresses import http_address, plain_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:28777"),
        ("::1", "http://[::1]:28777"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:28777"),
        ("gpu7.cluster", "http://gpu7.cluster:28777"),
        ("0.0.0.0", "http://127.0.0.1:28777"),
        ("::", "http://[::1]:28777"),
    ],
)
def test_a_host_and_a_port_become_a_url(host, address):
    assert http_address(host, 28777) == address
    assert plain_address(address + "/") == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:1/", "http://localhost:1"),
        ("https://a.b/c/", "https://a.b/c"),
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        ("http://[::]:1", "http://[::1]:1"),
    ],
)
def test_what_a_user_types_becomes_a_url(text, address):
    assert plain_address(text) == address
