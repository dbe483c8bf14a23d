"""Key text: what a key looks like, and that only this server can make one."""

from __future__ import annotations

import hmac
from collections import Counter

import pytest

from extauth.errors import MalformedKeyError, SecretMismatchError
from extauth.keys.token import BASE62, Peppers, hint, looks_like_key, mint_key, parse_key
from tests.keys import PEPPER, PEPPERS, mint

OTHER_PEPPER = "another pepper of the tests, also long enough"


def accepted(text: str, peppers: Peppers = PEPPERS) -> bool:
    """Tell whether a server with these peppers would look the key up."""
    try:
        key = parse_key(text)
        peppers.verify(key.body, key.tag)
    except (MalformedKeyError, SecretMismatchError):
        return False
    return True


def test_a_minted_key_has_the_promised_shape() -> None:
    """Prefix, environment, 12 characters of id, then the secret and 8 of tag, joined by underscores."""
    text, parts = mint()
    prefix, environment, key_id, rest = text.split("_")
    assert (prefix, environment, len(key_id), len(rest)) == ("xa", "live", 12, 43 + 8)
    assert (parts.environment, parts.key_id, parts.secret + parts.tag) == (environment, key_id, rest)


@pytest.mark.parametrize("length", [22, 43, 86])
def test_what_is_minted_can_be_parsed(length: int) -> None:
    """Minting and parsing agree on where each part ends, for the shortest and the longest secret."""
    text, parts = mint_key(prefix="a", environment="b2345678901234cd", secret_length=length, peppers=PEPPERS)
    assert parse_key(text) == parts
    assert len(parts.secret) == length
    assert accepted(text)


def test_one_wrong_character_anywhere_is_refused() -> None:
    """No place in a key may differ, in id, secret, tag, prefix or separators."""
    text, _ = mint()
    for position, right in enumerate(text):
        for wrong in {BASE62[(BASE62.find(right) + 1) % 62], "_", " ", "-", right.swapcase()} - {right}:
            assert not accepted(text[:position] + wrong + text[position + 1 :]), (position, wrong)


def test_one_character_more_or_less_anywhere_is_refused() -> None:
    """Nor may one be lost, doubled or added."""
    text, _ = mint()
    for position in range(len(text)):
        assert not accepted(text[:position] + text[position + 1 :])
        assert not accepted(text[:position] + "A" + text[position:])
    assert not accepted(text + "A")
    assert not accepted(text + "\n")


def test_another_servers_key_is_refused() -> None:
    """Only the pepper makes a tag, so a key of another server is as good as invented."""
    text, _ = mint(Peppers([OTHER_PEPPER]))
    assert not accepted(text)


def test_several_peppers_verify_and_the_newest_signs() -> None:
    """A pepper can be replaced without making older keys invalid."""
    old, _ = mint(Peppers([PEPPER]))
    both = Peppers([OTHER_PEPPER, PEPPER])
    new, _ = mint(both)
    assert accepted(old, both)
    assert accepted(new, both)
    assert accepted(new, Peppers([OTHER_PEPPER]))
    assert not accepted(new, Peppers([PEPPER]))


def test_a_server_without_pepper_cannot_be() -> None:
    """An empty list would accept no key, or, done wrongly, every one."""
    with pytest.raises(ValueError, match="at least one"):
        Peppers([])


def test_the_tag_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time must not tell how many characters of a tag were right."""
    compared: list[tuple[str, str]] = []

    def compare(made: str, given: str) -> bool:
        compared.append((made, given))
        return made == given

    monkeypatch.setattr(hmac, "compare_digest", compare)
    text, parts = mint()
    assert accepted(text)
    assert not accepted(text[:-1] + BASE62[BASE62.find(text[-1]) - 1])
    assert [made for made, _ in compared] == [parts.tag, parts.tag]


def test_characters_are_spread_evenly() -> None:
    """Secrets, ids and tags use the whole alphabet alike: no character is twice as likely as another."""
    keys = [mint()[1] for _ in range(1_000)]
    for part in ("secret", "key_id", "tag"):
        counts = Counter("".join(getattr(key, part) for key in keys))
        assert set(counts) == set(BASE62)
        expected = counts.total() / 62
        # Six standard deviations of a binomial: never by chance.
        assert max(abs(count - expected) for count in counts.values()) < 6 * expected**0.5


def test_keys_never_repeat() -> None:
    """Ids and secrets are random, not counted."""
    keys = [mint()[1] for _ in range(1_000)]
    assert len({key.key_id for key in keys}) == len({key.secret for key in keys}) == 1_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xa",
        "xa_live",
        "xa_live_short_" + "s" * 51,
        "XA_live_AAAAbbbb0001_" + "s" * 51,
        "xa_live_AAAAbbbb0001_" + "s" * 29,
        "xa_live_AAAAbbbb0001_" + "s" * 95,
        "9a_live_AAAAbbbb0001_" + "s" * 51,
        "é" * 60,
        "xa_live_AAAAbbbb0001_" + "ä" * 51,
    ],
)
def test_what_is_not_shaped_like_a_key_is_malformed(text: str) -> None:
    """Refused before any pepper is at work, in whatever alphabet it comes."""
    assert not looks_like_key(text)
    with pytest.raises(MalformedKeyError) as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_the_hint_shows_prefix_id_and_last_four() -> None:
    """Enough to find the key again, nothing that lets anybody in."""
    text, parts = mint()
    assert hint(text) == f"xa_live_{parts.key_id}_…{text[-4:]}"
