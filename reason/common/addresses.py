"""Addresses of our own services: the one place that builds them. IPv6 addresses stand in brackets."""

from __future__ import annotations

_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a service listens everywhere: where this machine reaches it


def http_address(host: str, port: int) -> str:
    """The URL of what listens at `host`, such as http://127.0.0.1:28777 or http://[::1]:28777."""
    host = _REACHABLE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def plain_address(text: str) -> str:
    """The URL that a user meant: with a scheme, without a slash at its end, of a host that can be reached."""
    address = (text if "://" in text else f"http://{text}").rstrip("/")
    return address.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
