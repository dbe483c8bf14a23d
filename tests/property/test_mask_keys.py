"""Whatever stands around a key in a text, masking leaves nothing of its secret."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from extauth.keys.token import mask_keys, mint_key
from tests.keys import PEPPERS, traces_of

_AROUND = st.one_of(
    st.text(max_size=20),
    st.text("_ax9Z%5F", max_size=30),
    st.sampled_from(
        ["p_q_ABCDEFGHIJ", "q_", "xa_live_", "a_b_ABCDEFGHIJKL_12345678", "/", "?api_key=", '{"key":"', "xa_"]
    ),
)
_ENVIRONMENTS = st.sampled_from(["live", "test", "production", "productionus", "abcdefghijklmnop"])


@given(_AROUND, _ENVIRONMENTS, st.sampled_from([22, 43, 86]), _AROUND)
@example("p_q_ABCDEFGHIJ", "production", 43, "")
@example("q_", "productionus", 43, "")
def test_nothing_of_a_secret_is_left(before: str, environment: str, length: int, after: str) -> None:
    """The secret is gone wherever the key stands."""
    text, parts = mint_key(prefix="xa", environment=environment, secret_length=length, peppers=PEPPERS)
    masked = mask_keys(before + text + after)
    assert traces_of(parts.secret + parts.tag, masked) == []


@given(_AROUND, st.integers(8, 51))
def test_nothing_is_left_of_a_key_that_was_cut_off(before: str, kept: int) -> None:
    """A log that cuts long texts may cut a key in two; what is left of it is masked too."""
    text, parts = mint_key(prefix="xa", environment="live", secret_length=43, peppers=PEPPERS)
    end = len(text) - 51 + kept
    assert traces_of(parts.secret, mask_keys(before + text[:end])) == []


@given(st.lists(_ENVIRONMENTS, min_size=2, max_size=4), st.sampled_from(["", "_", ",", " "]))
def test_nothing_is_left_of_several_keys(environments: list[str], between: str) -> None:
    """Keys pasted together without a gap are masked, all of them."""
    keys = [
        mint_key(prefix="xa", environment=environment, secret_length=43, peppers=PEPPERS)
        for environment in environments
    ]
    masked = mask_keys(between.join(text for text, _ in keys))
    assert [piece for _, parts in keys for piece in traces_of(parts.secret, masked)] == []


def test_an_escaped_underscore_hides_no_key() -> None:
    """A path may write `_` as `%5F`; the secret behind it is a secret all the same."""
    text, parts = mint_key(prefix="xa", environment="live", secret_length=43, peppers=PEPPERS)
    for escape in ("%5F", "%5f"):
        assert traces_of(parts.secret, mask_keys("/files/" + text.replace("_", escape))) == []


@given(st.text(max_size=60))
def test_text_without_keys_stays_as_it_is(text: str) -> None:
    """Masking is for keys: a log stays readable."""
    assert mask_keys(text) == text


def test_words_that_are_no_keys_stay_as_they_are() -> None:
    """Names with underscores, hashes and uuids are no keys."""
    for text in (
        "/v1/get_organization_memberships",
        "/f/" + "ab" * 32,
        "/t_0190c2a5-7d7e-7cc3-98c4-dc0c0c07398f",
    ):
        assert mask_keys(text) == text


def test_what_identifies_the_key_stays() -> None:
    """Prefix, environment and id are what an operator looks for."""
    text, parts = mint_key(prefix="xa", environment="live", secret_length=43, peppers=PEPPERS)
    assert mask_keys(f"GET /{text}/x") == f"GET /xa_live_{parts.key_id}_…/x"
