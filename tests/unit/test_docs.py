"""The documentation names what there is, and nothing that there isn't."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from prometheus_client.core import Metric

import extauth
from extauth.abuse.monitor import REASONS
from extauth.admin.problems import ADMIN_PROBLEMS
from extauth.cli.main import root
from extauth.dialects.problems import PROBLEMS, ProblemWriter
from extauth.docs.problems import (
    ADMIN_EXPLANATIONS,
    EXPLANATIONS,
    PROXY_CODE,
    PROXY_EXPLANATION,
    PROXY_PROBLEM,
    Explanation,
)
from extauth.model import Code, Decision
from extauth.server.connections import ConnectionLimits, Connections
from extauth.server.refusals import Refusal, refuse
from extauth.telemetry.collector import collector_for
from tests.unit.test_decision_lines import FIELDS
from tests.world import open_world

REPOSITORY = Path(__file__).parents[2]


def page(name: str) -> str:
    """Return a page of the documentation."""
    return (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """Return the sections of a page by their headings."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    heads = [number for number, row in enumerate(cells) if set("".join(row)) <= set("-: ")]
    return [row for number, row in enumerate(cells) if number not in heads and number + 1 not in heads]


PROBLEM_SECTIONS = sections(page("problems"))
DENIALS = [code for code in Code if code is not Code.ALLOWED]

VIOLATED = {
    Code.RATE_LIMITED: ("per-second",),
    Code.QUOTA_EXCEEDED: ("quota",),
    Code.COOLING_DOWN: ("cool-down",),
    Code.TOO_MANY_CONCURRENT: ("concurrency",),
}


def explained_in(section: str) -> list[str]:
    """Return cause and advice that a section gives, on one line each."""
    paragraphs = re.findall(r"\*\*(?:Cause|What to do)\.\*\* (.*?)\n(?:\n|\Z)", section, re.DOTALL)
    return [" ".join(paragraph.split()) for paragraph in paragraphs]


def told_of(explanation: Explanation) -> list[str]:
    """Return what the consumers' page of a problem says, and what operators have to know beside it."""
    return [explanation.cause, explanation.for_all]


@pytest.mark.parametrize("code", DENIALS)
def test_every_problem_code_is_explained(code: Code) -> None:
    """With status, cause, what to do, and the answer as it really is."""
    section = PROBLEM_SECTIONS[f"`{code}`"]
    assert section.strip().startswith(f"{PROBLEMS[code].status} {PROBLEMS[code].title}\n")
    assert explained_in(section) == told_of(EXPLANATIONS[code])
    (example,) = re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    shown = json.loads(example)
    decision = Decision(code, violated=VIOLATED.get(code, ()))
    assert shown == json.loads(ProblemWriter(docs_url=None).body(decision, shown["request_id"]))


def test_no_problem_is_explained_that_does_not_exist() -> None:
    """A code that went away must not stay documented."""
    explained = {heading.strip("`") for heading in PROBLEM_SECTIONS if heading.startswith("`")}
    assert explained == {code.value for code in DENIALS}


def test_every_refusal_of_the_check_listener_is_listed() -> None:
    """With its status and the sentence that it is answered with, and no others."""
    listed = {row[0]: (row[1], row[2]) for row in rows(PROBLEM_SECTIONS["Refusals of the check listener"])}
    expected = {}
    for refusal in Refusal:
        answer = refuse(refusal)
        expected[f"`{refusal}`"] = (str(answer.status), json.loads(answer.body)["detail"])
    assert listed == expected


def test_the_proxies_own_code_is_explained() -> None:
    """What the shipped configurations answer when extauth is gone."""
    plugin = "traefik/plugins-local/src/extauth.example/extauth/extauth.go"
    others = [f"deploy/{name}" for name in (plugin, "caddy/Caddyfile", "haproxy/haproxy.cfg")]
    for file in ("envoy/envoy.yaml", "nginx/extauth.conf", *others):
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert all(str(value) in text for value in PROXY_PROBLEM.values())
    section = PROBLEM_SECTIONS["Answers of the proxies"]
    assert f"`{PROXY_CODE}`" in section
    assert explained_in(section) == told_of(PROXY_EXPLANATION)


def test_the_codes_of_the_admin_listener_are_listed() -> None:
    """With status, cause and advice, and no others."""
    listed = {row[0]: row[1:] for row in rows(PROBLEM_SECTIONS["Problems of the admin listener"])}
    assert listed == {
        f"`{code}`": [str(kind.status), " ".join(told_of(ADMIN_EXPLANATIONS[code]))]
        for code, kind in ADMIN_PROBLEMS.items()
    }


def all_metrics(folder: Path) -> list[Metric]:
    """Return every family that a running server shows."""

    async def collect() -> list[Metric]:
        async with open_world(folder) as world:
            connections = Connections(ConnectionLimits(), now=0)
            connections.refused["not_found"] += 1
            world.app.counts.degraded["limits=open"] = world.app.counts.shadowed["a limit"] = 1
            app = world.app
            collectors = (collector_for(app, connections, world.lines), app.admin.counts, app.reloads)
            return [metric for collector in collectors for metric in collector.collect()]

    return asyncio.run(collect())


def test_every_metric_has_its_row(tmp_path: Path) -> None:
    """With the name that Prometheus sees, its kind and its labels; and no row is of one that isn't there."""
    listed = {
        row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2])))
        for row in rows(sections(page("metrics"))["Metrics"])
    }
    shown = {}
    for metric in all_metrics(tmp_path):
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        shown[name] = (metric.type, labels)
    assert listed == shown


def test_the_example_of_a_decision_line_is_one() -> None:
    """All fields, in the order in which they are written."""
    (example,) = re.findall(r"^```json\n(.*?)^```", page("metrics"), re.MULTILINE | re.DOTALL)
    assert list(json.loads(example)) == FIELDS


def test_the_reasons_are_those_that_are_logged() -> None:
    """An operator looks them up here."""
    (line,) = [line for line in page("metrics").splitlines() if line.startswith("- `reason`")]
    sources = "".join(
        (Path(extauth.__file__).parent / name).read_text() for name in ("keys/directory.py", "callers.py")
    )
    reasons = set(re.findall(r"`([a-z ]+)`", line)) - {"reason"}
    assert all(f'"{reason}"' in sources for reason in reasons)
    logged = set(re.findall(r'Rejection\("([a-z ]+)"', sources))
    logged |= {"malformed", "revoked", "disabled", "expired", "rotated"}
    assert reasons == logged
    # All but the one for which nobody has looked are counted.
    assert reasons == {*REASONS, "banned"}


def commands(group: click.Group, path: str = "extauth") -> Iterator[tuple[str, click.Command]]:
    """Walk the command line."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(root))
COMMAND_ROWS = {row[0].strip("`"): row for row in rows(page("cli").split("\n## ")[0])}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_listed(command: str) -> None:
    """With every option that is its own, but for the demo's ports."""
    (usage,) = [usage for usage in COMMAND_ROWS if usage == command or usage.startswith(f"{command} ")]
    for parameter in COMMANDS[command].params:
        if isinstance(parameter, click.Argument):
            assert parameter.human_readable_name in usage
        elif parameter.name != "as_json" and command != "extauth demo":
            assert parameter.opts[0] in usage


def test_no_command_is_listed_that_does_not_exist() -> None:
    """A command that went away must not stay documented."""
    listed = {re.split(r" (?=[-\[A-Z])", usage)[0] for usage in COMMAND_ROWS}
    assert listed == COMMANDS.keys()


def documents() -> list[Path]:
    """Return all pages that people read."""
    patterns = ("*.md", "*/README.md", "deploy/*/README.md", "docs/**/*.md")
    return sorted(page for pattern in patterns for page in REPOSITORY.glob(pattern))


def anchors(file: Path) -> set[str]:
    """Return what a link into a page can name, made from its headings as renderers do."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_links_lead_somewhere(file: Path) -> None:
    """To a file that is there, and a heading that it has; elsewhere by a URL that is one."""
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            address = urlsplit(target)
            assert address.scheme == "https", target
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", address.netloc), target
            continue
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target
