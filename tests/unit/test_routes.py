"""The route table: templates, methods, hosts, and which rule wins."""

from __future__ import annotations

import pytest

from extauth.compiled import route_table
from extauth.model import Target
from extauth.routes import Access, Route, RouteTable, normalise_host
from extauth.settings.model import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def found(*routes: Route, method: str = "GET", host: str = "api.example.com", path: str = "/") -> str:
    """Return the name of the route that a request falls to."""
    table = RouteTable(routes, default=Route(name="default", access=Access.REQUIRED), methods=METHODS)
    return table.find(Target(method, host, path)).name


def route(
    template: str = "/**", *, name: str = "wanted", methods: tuple[str, ...] = (), hosts: tuple[str, ...] = ()
) -> Route:
    """Make a route."""
    return Route(name=name, access=Access.REQUIRED, template=template, methods=methods, hosts=hosts)


MATCHES = [
    ("/", "/"),
    ("/health", "/health"),
    ("/v1/", "/v1/"),
    ("/v1/orders/{id}", "/v1/orders/42"),
    ("/v1/orders/{id}", "/v1/orders/a%20b"),
    ("/v1/orders/*", "/v1/orders/42"),
    ("/v1/{a}/x/{b}", "/v1/1/x/2"),
    ("/v1/**", "/v1"),
    ("/v1/**", "/v1/"),
    ("/v1/**", "/v1/a"),
    ("/v1/**", "/v1/a/b/c/"),
    ("/{tenant}/**", "/acme"),
    ("/{tenant}/**", "/acme/x/y"),
    ("/**", "/"),
    ("/**", "/a/b"),
    ("/a.b", "/a.b"),
    ("/a+b(c)", "/a+b(c)"),
]
MISSES = [
    ("/", "/a"),
    ("/health", "/health/"),
    ("/health", "/Health"),
    ("/health", "/healthz"),
    ("/health", "/a/health"),
    ("/v1/", "/v1"),
    ("/v1/orders/{id}", "/v1/orders/"),
    ("/v1/orders/{id}", "/v1/orders"),
    ("/v1/orders/{id}", "/v1/orders/42/items"),
    ("/v1/orders/*", "/v1/orders/42/"),
    ("/v1/**", "/v12"),
    ("/v1/**", "/v"),
    ("/v1/**", "/V1/a"),
    ("/{tenant}/**", "/"),
    ("/a.b", "/axb"),
]


@pytest.mark.parametrize(("template", "path"), MATCHES)
def test_a_template_matches(template: str, path: str) -> None:
    """`{name}` and `*` stand for one segment, `/**` for what lies there and below, all else for itself."""
    assert found(route(template), path=path) == "wanted"


@pytest.mark.parametrize(("template", "path"), MISSES)
def test_a_template_does_not_match(template: str, path: str) -> None:
    """No template reaches further than its text says: not over case, a longer name, a slash or a segment."""
    assert found(route(template), path=path) == "default"


def test_the_first_match_wins() -> None:
    """Order decides, not which template is the narrower one."""
    wide, narrow = route("/v1/**", name="wide"), route("/v1/orders", name="narrow")
    assert found(wide, narrow, path="/v1/orders") == "wide"
    assert found(narrow, wide, path="/v1/orders") == "narrow"
    assert found(narrow, wide, path="/v1/users") == "wide"


@pytest.mark.parametrize(("method", "name"), [("GET", "wanted"), ("HEAD", "wanted"), ("POST", "default")])
def test_a_route_applies_to_its_methods(method: str, name: str) -> None:
    """A method that a route doesn't list falls to the next rule."""
    assert found(route(methods=("GET", "HEAD")), method=method) == name


HOSTS = [
    ("api.example.com", "api.example.com", True),
    ("api.example.com", "API.Example.COM", True),
    ("api.example.com", "api.example.com:8443", True),
    ("api.example.com", "api.example.com.", True),
    ("api.example.com", "api.example.com.:8443", True),
    ("api.example.com", "example.com", False),
    ("api.example.com", "api.example.com.evil.example", False),
    ("api.example.com", "evilapi.example.com", False),
    ("api.example.com", "", False),
    ("*.example.com", "api.example.com", True),
    ("*.example.com", "a.b.Example.com:80", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", ".example.com", False),
    ("*.example.com", "evilexample.com", False),
    ("API.example.com", "api.example.com", True),
    ("[::1]", "[::1]:9000", True),
    ("[::1]", "[::1]", True),
    ("[::1]", "[::2]:9000", False),
    ("192.0.2.1", "192.0.2.1:80", True),
]


@pytest.mark.parametrize(("rule", "host", "applies"), HOSTS)
def test_a_route_applies_to_its_hosts(rule: str, host: str, applies: bool) -> None:  # noqa: FBT001 - a table's column
    """Case, port and a final dot make no difference; a wildcard covers what lies below its domain."""
    assert (found(route(hosts=(rule,)), host=host) == "wanted") is applies


def test_several_hosts_are_alternatives() -> None:
    """One of them has to match."""
    rules = route(hosts=("a.example", "b.example"))
    assert [found(rules, host=host) for host in ("a.example", "b.example", "c.example")] == [
        "wanted",
        "wanted",
        "default",
    ]


def test_a_host_is_normalised_to_one_spelling() -> None:
    """Brackets of IPv6 stay, because its colons are no port."""
    assert normalise_host("[2001:DB8::1]:443") == "[2001:db8::1]"
    assert normalise_host("EXAMPLE.com.:443") == "example.com"


@pytest.mark.parametrize(
    ("setting", "access"),
    [("authenticate", Access.REQUIRED), ("deny", Access.DENIED), ("allow", Access.NONE)],
)
def test_the_default_route_is_a_setting(setting: str, access: Access) -> None:
    """What no route names falls to `default_route`."""
    table = route_table(Settings.model_validate({"default_route": setting}))
    assert table.find(Target("GET", "", "/anything")).access is access


@pytest.mark.parametrize(
    ("setting", "access"),
    [("required", Access.REQUIRED), ("optional", Access.OPTIONAL), ("none", Access.NONE)],
)
def test_what_a_route_asks_is_a_setting(setting: str, access: Access) -> None:
    """`auth` in the settings is what the table answers."""
    table = route_table(Settings.model_validate({"routes": [{"path": "/x", "auth": setting}]}))
    assert table.find(Target("GET", "", "/x")).access is access


def test_a_route_carries_its_settings() -> None:
    """All arrive as they were configured; without a name a route is called after its path."""
    routes = [
        {"path": "/a", "methods": ["POST"], "hosts": ["x.example"], "scopes": ["a:write"], "name": "writing"},
        {"path": "/b/{id}"},
    ]
    table = route_table(Settings.model_validate({"routes": routes}))
    named = table.find(Target("POST", "x.example", "/a"))
    assert (named.name, named.scopes) == ("writing", ("a:write",))
    assert table.find(Target("GET", "x.example", "/a")).name == "default"
    assert table.find(Target("GET", "y.example", "/b/1")).name == "/b/{id}"


def test_verdicts_are_remembered_by_target() -> None:
    """The same target is matched once, and what is remembered is what was found."""
    table = RouteTable([route("/a")], default=Route(name="default", access=Access.REQUIRED), methods=METHODS)
    target = Target("GET", "", "/a")
    assert table.verdicts[target] is table.verdicts[target]
    assert table.verdicts[target] is table.find(target)
