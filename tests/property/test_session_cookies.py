"""Cookies of sessions: what was written is read, and nothing else is, whatever somebody makes up."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from extauth.dashboard.sessions import Session, SessionCodec

PEPPER, OLDER, FOREIGN = b"p" * 32, b"o" * 32, b"f" * 32
CODEC = SessionCodec([PEPPER, OLDER])
_SAFE = string.ascii_letters + string.digits + "-_"
SESSIONS = st.builds(
    Session,
    st.text(_SAFE, min_size=22, max_size=22),
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=64),
    st.integers(0, 10**11 - 1),
    st.integers(0, 10**11 - 1),
)


@given(SESSIONS)
def test_what_was_written_is_read(session: Session) -> None:
    """Under the newest pepper, and under an older one that is still configured."""
    assert CODEC.read(CODEC.write(session)) == session
    assert CODEC.read(SessionCodec([OLDER]).write(session)) == session


@given(SESSIONS)
def test_another_pepper_is_another_server(session: Session) -> None:
    """Its cookies and tokens are none here."""
    foreign = SessionCodec([FOREIGN])
    assert CODEC.read(foreign.write(session)) is None
    assert not CODEC.is_token(session, foreign.token(session))
    # A pepper is not the key itself: what else is signed under it is no cookie.
    assert SessionCodec([PEPPER]).write(session) == CODEC.write(session)


@given(SESSIONS, st.integers(0, 255), st.characters())
def test_a_cookie_with_one_other_character_is_none(session: Session, at: int, character: str) -> None:
    """At any place: key, id, times and signature."""
    text = CODEC.write(session)
    at %= len(text)
    changed = text[:at] + character + text[at + 1 :]
    # The last digit of base64 has bits that mean nothing; it is compared as text, so they count too.
    assert changed == text or CODEC.read(changed) is None


@given(SESSIONS, SESSIONS)
def test_no_cookie_is_made_of_two(one: Session, other: Session) -> None:
    """Parts of one don't fit the signature of another."""
    parts, others = CODEC.write(one).split("."), CODEC.write(other).split(".")
    for at in range(len(parts)):
        mixed = ".".join([*parts[:at], others[at], *parts[at + 1 :]])
        assert CODEC.read(mixed) in (
            {one, other} if mixed in {CODEC.write(one), CODEC.write(other)} else {None}
        )


@given(st.one_of(st.text(), st.lists(st.text(_SAFE)).map(".".join)))
def test_nothing_that_is_made_up_is_a_cookie(text: str) -> None:
    """And nothing makes the reader stumble."""
    assert CODEC.read(text) is None


@given(SESSIONS, SESSIONS, st.text())
def test_a_token_is_of_one_session(session: Session, other: Session, text: str) -> None:
    """It stays while the session is renewed, and is no other one's."""
    token = CODEC.token(session)
    assert CODEC.is_token(session._replace(seen=other.seen, key_id=other.key_id), token)
    assert SessionCodec([PEPPER]).is_token(session, SessionCodec([PEPPER]).token(session))
    assert other.session_id == session.session_id or not CODEC.is_token(other, token)
    assert text == token or not CODEC.is_token(session, text)
