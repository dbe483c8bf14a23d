"""The reader of nginx's language takes any text: it gives directives, or says what is wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauth.proxies.checking.findings import UnreadableError
from extauth.proxies.checking.nginx_reader import Directive, parse_nginx
from extauth.proxies.checking.nginx_scopes import servers_of

_PIECES = [
    "http",
    "server",
    "location",
    " ",
    "\n",
    ";",
    "{",
    "}",
    '"',
    "'",
    "\\",
    "$",
    "${",
    "#",
    "a_by_lua_block",
    "/",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(_PIECES)).map("".join))
WORDS = st.text(min_size=1).filter(lambda word: "\x00" not in word)


@given(TEXTS)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Never another exception, be it brackets, quotations, or a half of either."""
    try:
        directives = parse_nginx(text, "file")
    except UnreadableError as error:
        assert str(error).startswith("file:")  # noqa: PT017 - either outcome is right
    else:
        servers_of(directives)
        _check_lines(directives, text.count("\n") + 1)


def _check_lines(directives: tuple[Directive, ...], last: int) -> None:
    for directive in directives:
        assert 1 <= directive.line <= last
        _check_lines(directive.block or (), last)


@given(WORDS, st.lists(WORDS, max_size=4))
def test_what_is_quoted_is_read_as_it_was(name: str, words: list[str]) -> None:
    """Whatever stands in quotation marks, with its escapes, is one word and comes back."""
    quoted = " ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in (name, *words))
    (directive,) = parse_nginx(f"{quoted};", "file")
    assert (directive.name, list(directive.args)) == (name, words)
