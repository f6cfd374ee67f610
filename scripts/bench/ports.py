"""Free ports for services that a benchmark or a test starts."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack


def free_port(neighbours: int = 1) -> int:
    """The first of `neighbours` ports in a row that are free.

    They lie below those that the system gives to clients' sockets, which could take a port before its owner does.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with ExitStack() as stack:
            try:
                for offset in range(neighbours):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port
