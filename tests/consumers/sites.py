"""Settings whose pages are looked at, and the pages taken apart as a browser would."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib

from extauth.docs.site import ADMIN_ONLY, CLIENT, CODES, PROBLEM_FOLDER, Site, style_name
from extauth.settings.model import Settings

# Where the pages would be; every path below it is a page's.
BASE = "http://docs.example.net/some/where/"

RICH: Mapping[str, Any] = {
    "keys": {
        "prefix": "acme",
        "environments": ["live", "test", "dev"],
        "default_tier": "free",
        "default_lifetime": "365d",
        "default_grace": "36h",
        "imported": True,
    },
    "credentials": {"realm": "Acme API", "query_parameter": True},
    "routes": [
        {"path": "/health", "auth": "none"},
        {
            "path": "/v1/orders/{id}",
            "methods": ["GET", "HEAD"],
            "scopes": ["orders:read"],
            "name": "internal name",
        },
        {"path": "/v1/orders/**", "scopes": ["orders:read", "orders:write"]},
        {
            "path": "/v1/reports",
            "cost": 20,
            "limits": [{"rate": "100/hour", "per": "route"}],
            "concurrency": {"max": 3, "per": "route", "queue": 6, "wait": "2s"},
            "timeout": "1h30m",
        },
        {"path": "/v1/free", "cost": 0, "hosts": ["*.partners.example.com"], "auth": "optional"},
        {"path": "/v1/trial", "shadow": True, "limits": ["7/minute"]},
    ],
    "default_route": "deny",
    "tiers": {
        "free": {
            "rates": [
                "40/second burst 60",
                {"rate": "1000/hour", "algorithm": "sliding_window", "per": "user"},
            ],
            "quota": "100000/month",
            "cool_down": {"violations": 50, "window": "10s", "cool_down": "30s", "longest": "1h"},
            "concurrency": {"max": 4, "queue": 8, "wait": "500ms"},
            "scopes": ["orders:*"],
        },
        "pro": {"rates": ["200/second burst 400", {"rate": "13/minute", "shadow": True}]},
        "trial": {"rates": ["11/second"], "shadow": True},
        "endless": {},
    },
    "limits": {
        "rates": ["5000/second"],
        "anonymous": [{"rate": "60/minute", "algorithm": "fixed_window"}],
        "anonymous_cool_down": {"violations": 100},
    },
    "headers": {"reset": "epoch"},
    "docs": {"title": "Acme & Söhne <API>", "api_url": "https://api.acme.example/base/"},
    "docs_url": "https://api.acme.example/docs",
}
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "rich": RICH,
    "routes hidden": {**RICH, "docs": {"routes": False}},
    "open": {
        "default_route": "allow",
        "tiers": {"default": {"rates": []}},
        "routes": [{"path": "/**", "auth": "none"}],
    },
}


def site_of(sections: Mapping[str, Any]) -> Site:
    """Return the pages under some sections of the settings."""
    return Site(Settings.model_validate(sections))


class Document:
    """A page taken apart; an exception where its HTML is not well-formed."""

    def __init__(self, path: str, html: str) -> None:
        self.path = path
        self.html = html
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        self.root: ET.Element = parser.parse(html)
        self.text = " ".join("".join(self.root.itertext()).split())

    def all(self, name: str) -> list[ET.Element]:
        """Return all elements of that name, in their order."""
        return list(self.root.iter(name))

    @property
    def elements(self) -> list[ET.Element]:
        """All elements."""
        return list(self.root.iter())

    @property
    def ids(self) -> list[str]:
        """What links can name."""
        return [element.attrib["id"] for element in self.elements if "id" in element.attrib]


class Link(NamedTuple):
    """Where a link leads: a path below the pages, and an anchor, which may be empty."""

    path: str
    anchor: str


def links_of(document: Document) -> Iterator[Link]:
    """Return the links of a page to others, and to itself; an AssertionError where one leaves the folder."""
    for element in document.elements:
        target = element.attrib.get("href")
        if target is None or urlsplit(target).scheme:
            continue
        url, anchor = urldefrag(urljoin(BASE + document.path, target))
        assert url.startswith(BASE), target
        yield Link(url.removeprefix(BASE), anchor)


def documents(site: Site) -> dict[str, Document]:
    """Return all pages that links lead to, from the first one on, and those of all codes."""
    found: dict[str, Document] = {}
    waiting = ["", *(PROBLEM_FOLDER + code for code in (*CODES, *ADMIN_ONLY))]
    while waiting:
        path = waiting.pop()
        if path in found or path in {style_name(), CLIENT.file}:
            continue
        page = site.make(path)
        assert page.status == 200, path
        found[path] = Document(path, page.body.decode())
        waiting += [link.path for link in links_of(found[path])]
    return found
