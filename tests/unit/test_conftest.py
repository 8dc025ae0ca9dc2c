"""The rules of tests/conftest.py hold."""

from __future__ import annotations

import os
import socket

import pytest


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_network_is_refused_before_a_packet_leaves(method: str) -> None:
    with socket.socket() as s, pytest.raises(RuntimeError, match=r"tried to reach 192\.0\.2\.1"):
        getattr(s, method)(("192.0.2.1", 9))


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_settings_of_the_machine_are_not_seen() -> None:
    assert not [name for name in os.environ if name.startswith(("OPENAI_", "LANGSMITH_")) or name.endswith("_PROXY")]
