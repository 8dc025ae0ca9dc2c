"""Identity: who calls, spelled one way; what a client can write into a config is never believed too far."""

from __future__ import annotations

import pytest

from langchain_guard import ConfigError, Identity
from langchain_guard.identity import account_key, hashed, identity_of


@pytest.mark.parametrize(
    ("identity", "key"),
    [
        (Identity(user="u1", ip="203.0.113.9"), "u1"),
        (Identity(ip="203.0.113.9"), "ip:203.0.113.9"),
        (Identity(ip="::ffff:203.0.113.9"), "ip:203.0.113.9"),
        (Identity(ip="2001:db8:1:2:3:4:5:6"), "ip:2001:db8:1:2::/64"),
        (Identity(ip="2001:db8:1:2::9"), "ip:2001:db8:1:2::/64"),
        (Identity(), "anonymous"),
        (Identity(user="anonymous"), "user:anonymous"),
        (Identity(user="global"), "user:global"),
        (Identity(user="ip:203.0.113.9"), "user:ip:203.0.113.9"),
        (Identity(user="user:global"), "user:user:global"),
    ],
)
def test_the_spelling_of_a_caller(identity, key):
    assert identity.key == key


def test_no_two_accounts_share_a_spelling():
    names = ["u1", "user:u1", "ip:1.2.3.4", "user:ip:1.2.3.4", "global", "user:global", "anonymous"]
    assert len({account_key(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"user": ""}, "user"), ({"user": "  "}, "user"), ({"user": 7}, "user"), ({"ip": "300.1.1.1"}, "address"),
     ({"ip": 7}, "address"), ({"verified": True}, "verified"), ({"user": "u", "verified": "false"}, "verified"),
     ({"user": "u", "tier": 7}, "tier"), ({"user": "u", "tier": " "}, "tier"), ({"scopes": "orders:read"}, "scopes"),
     ({"scopes": 7}, "scopes"), ({"scopes": [7]}, "scopes"), ({"scopes": None}, "scopes")],
)  # fmt: skip
def test_what_cannot_be_a_caller_is_a_config_error(arguments, named):
    with pytest.raises(ConfigError, match=named):
        Identity(**arguments)


@pytest.mark.parametrize(
    ("configurable", "key", "verified"),
    [
        ({"identity": Identity(user="u1", verified=True)}, "u1", True),
        ({"user_id": "u1"}, "u1", False),
        ({"user_id": 7}, "7", False),
        ({"client_ip": "203.0.113.9"}, "ip:203.0.113.9", False),
        ({"user_id": "u1", "verified": True, "tier": "pro", "scopes": ["admin"]}, "u1", False),
        ({"identity": {"user": "u1", "verified": True}}, "anonymous", False),
        ({"user_id": "", "client_ip": "not an address"}, "anonymous", False),
        ({"user_id": ["u1"]}, "anonymous", False),
        ({"user_id": True}, "anonymous", False),
        ({}, "anonymous", False),
    ],
)
def test_what_a_config_says(configurable, key, verified):
    identity = identity_of({"configurable": configurable})
    assert (identity.key, identity.verified) == (key, verified)
    assert (identity.tier, identity.scopes) == (None, frozenset())


def test_no_config_is_nobody():
    assert identity_of(None).key == "anonymous"


def test_its_config_carries_the_object_itself():
    identity = Identity(user="u1", scopes={"orders:read"})
    assert identity_of(identity.config()) is identity


def test_repr_and_hash_name_nobody():
    assert "u1" not in repr(Identity(user="u1", ip="203.0.113.9"))
    assert "203" not in repr(Identity(user="u1", ip="203.0.113.9"))
    assert (len(hashed("u1")), hashed("u1") == hashed("u1"), hashed("u1") == hashed("u2")) == (16, True, False)
