"""Redis in the settings: what its URL may say, and that its password is never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extauth.settings.model import Settings, StoreSettings
from extauth.settings.redis_url import RedisUrl, parse_redis_url
from extauth.settings.schema import effective

SECRET = "hunter2%40hunter2"


def url(**changes: Any) -> RedisUrl:
    """Return what a URL says, with what most of them say."""
    given: dict[str, Any] = {"kind": "server", "tls": False, "hosts": (("db", 6379),)}
    return RedisUrl(**{**given, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis://db", url()),
        ("redis://db/", url()),
        ("redis://db:7000/3", url(hosts=(("db", 7000),), database=3)),
        ("rediss://[::1]:7000", url(tls=True, hosts=(("::1", 7000),))),
        ("redis://[::1]", url(hosts=(("::1", 6379),))),
        ("redis://ann:p%40ss%2F:@db", url(user="ann", password="p@ss/:")),
        ("redis://:p%3F@db", url(password="p?")),
        ("redis://ann@db", url(user="ann")),
        (
            "redis+sentinel://a,b:5/my-master",
            url(kind="sentinel", hosts=(("a", 26379), ("b", 5)), service="my-master"),
        ),
        ("rediss+sentinel://:x@a/m/2", url(
            kind="sentinel", tls=True, hosts=(("a", 26379),), service="m", database=2, password="x"
        )),
        ("redis+cluster://a,b:5/0", url(kind="cluster", hosts=(("a", 6379), ("b", 5)))),
        ("rediss+cluster://a", url(kind="cluster", tls=True, hosts=(("a", 6379),))),
    ],
)  # fmt: skip
def test_urls_say_where_redis_is(text: str, said: RedisUrl) -> None:
    """One server, Sentinels or a cluster, each with TLS or without."""
    assert parse_redis_url(text) == said
    settings = StoreSettings(url=text)
    assert settings.redis == said
    assert not settings.is_embedded


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis:db",
        "redis:///0",
        f"redis://u:{SECRET}@",
        f"redis://u:{SECRET}@db:0",
        f"redis://u:{SECRET}@db:99999",
        f"redis://u:{SECRET}/x@db",
        f"redis://u:{SECRET}?@db",
        f"redis://u:{SECRET}@db?ssl=1",
        f"redis://u:{SECRET}@db#1",
        f"redis://u:{SECRET} @db",
        f"redis://u:{SECRET}@db/x",
        f"redis://u:{SECRET}@db/1/2",
        f"redis://u:{SECRET}@a,b",
        f"redis://u:{SECRET}@::1",
        f"redis+sentinel://u:{SECRET}@a",
        f"redis+sentinel://u:{SECRET}@a/my master",
        f"redis+sentinel://u:{SECRET}@a/m/x",
        f"redis+sentinel://u:{SECRET}@a,a/m",
        f"redis+cluster://u:{SECRET}@a/1",
        f"redis+cluster://u:{SECRET}@a,,b",
        f"redis+other://u:{SECRET}@a",
        f"unix:///{SECRET}",
    ],
)
def test_what_is_no_url_of_a_redis_is_refused(text: str) -> None:
    """With a sentence that repeats nothing of it: it may hold a password."""
    with pytest.raises(ValidationError) as refusal:
        StoreSettings(url=text)
    assert "hunter" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"redis://ann:{SECRET}@db/1", "redis://ann:********@db/1"),
        (f"rediss+sentinel://:{SECRET}@a,b/m", "rediss+sentinel://:********@a,b/m"),
        ("redis://ann@db", "redis://********@db"),
        ("redis+cluster://a,b", "redis+cluster://a,b"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    """Neither by `extauth config show`, nor where settings or what they say get into a log."""
    settings = Settings(store=StoreSettings(url=text))
    assert effective(settings)["store"]["url"] == shown
    for said in (repr(settings), str(settings.store), repr(settings.store.redis), str(settings.store.redis)):
        assert "hunter" not in said
    assert "hunter" not in json.dumps(effective(settings))


@pytest.mark.parametrize(
    "given",
    [
        {"url": "redis://:x@db", "password_file": "/p"},
        {"url": "rediss://db", "certificate_file": "/c"},
        {"url": "rediss://db", "private_key_file": "/k"},
        {"url": "redis://db", "timeout": "0ms"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    """Nobody is left to guess which of two counts."""
    with pytest.raises(ValidationError):
        StoreSettings(**given)


def test_the_embedded_store_stays_the_default() -> None:
    """With the path that the application asks for."""
    assert StoreSettings().is_embedded
    assert StoreSettings().path == Path("extauth-data/extauth.db")
