"""The shape of the package: which way imports point, and how long files and functions may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import extauth

PACKAGE = Path(extauth.__file__).parent
LONGEST_FILE = 350
LONGEST_FUNCTION = 40
# A wheel holds the samples for API consumers too, which the package shows and never runs.
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if "samples" not in file.parts)
assert len(MODULES) > 50


def name_of(file: Path) -> str:
    """Return a module's name."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(file): file for file in MODULES}


@cache
def text_of(file: Path) -> str:
    """Read a module."""
    return file.read_text(encoding="utf-8")


@cache
def tree_of(file: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(text_of(file))


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a module, in no particular order; to walk a tree takes as long as to parse it."""
    return tuple(ast.walk(tree_of(file)))


@cache
def imports_of(name: str) -> frozenset[str]:
    """Return all modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in nodes_of(NAMES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = submodules & NAMES.keys()
            found.update(inner or {node.module})
    return frozenset(found)


def imports_all_the_way(name: str) -> set[str]:
    """Return what a module imports, itself or through other modules of extauth."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for imported in imports_of(waiting.pop()) - found:
            found.add(imported)
            if imported in NAMES:
                waiting.append(imported)
    return found


def within(modules: set[str] | frozenset[str], *packages: str) -> set[str]:
    """Return those that are one of these packages, or lie in one."""
    return {
        module
        for module in modules
        if any(module == each or module.startswith(f"{each}.") for each in packages)
    }


@pytest.mark.parametrize("name", ["extauth.model", "extauth.clock", "extauth.errors", "extauth.bounded"])
def test_the_bottom_imports_nothing_of_extauth(name: str) -> None:
    """What all share can't depend on any of them."""
    assert within(imports_of(name), "extauth") == set()


TOP = (
    "extauth.dialects",
    "extauth.server",
    "extauth.admin",
    "extauth.dashboard",
    "extauth.docs",
    "extauth.cli",
    "extauth.app",
    "extauth.management",
    "extauth.telemetry",
    "extauth.tracing",
    "extauth.demo",
    "extauth.proxies",
)


def test_keys_limits_and_stores_know_nothing_above_them() -> None:
    """No proxy, no listener, no command line, neither directly nor through something else."""
    below = within(set(NAMES), "extauth.keys", "extauth.limits", "extauth.stores")
    assert len(below) > 50
    above = (*TOP, "extauth.check", "extauth.callers")
    known = {name: within(imports_all_the_way(name), *above) for name in below}
    assert {name: modules for name, modules in known.items() if modules} == {}


@pytest.mark.parametrize("name", ["extauth.check", "extauth.callers", "extauth.routes", "extauth.paths"])
def test_the_check_knows_no_web_sql_or_json(name: str) -> None:
    """Whatever it imports, all the way down: it can be read and tested without any of them."""
    found = imports_all_the_way(name)
    assert within(found, *TOP, "extauth.settings", "extauth.stores.sqlite", "extauth.stores.open") == set()
    foreign = (
        "starlette",
        "uvicorn",
        "httptools",
        "httpx",
        "sqlite3",
        "orjson",
        "json",
        "pydantic",
        "yaml",
        "structlog",
    )
    assert within(found, *foreign) == set()


def test_dialects_translate_and_never_decide() -> None:
    """They know neither the check nor a store, and no server."""
    for name in within(set(NAMES), "extauth.dialects"):
        forbidden = ("extauth.check", "extauth.stores", "extauth.server", "extauth.app", "extauth.limits")
        assert within(imports_of(name), *forbidden) == set(), name


def test_pages_for_consumers_read_the_settings_alone() -> None:
    """No key and no count can get onto a page that everybody may read; what makes them knows no server."""
    forbidden = ("extauth.stores", "extauth.server", "extauth.app", "extauth.management", "extauth.check")
    for name in within(set(NAMES), "extauth.docs"):
        assert within(imports_of(name), *forbidden, "extauth.keys.service", "extauth.keys.directory") == set()
        assert name == "extauth.docs.serving" or not within(imports_of(name), "starlette")


def test_only_the_composition_root_opens_stores() -> None:
    """Nobody else constructs services."""
    openers = {name for name in NAMES if "extauth.stores.open" in imports_of(name)}
    assert openers == {"extauth.app", "extauth.management"}


def test_the_command_line_waits_for_no_web_stack() -> None:
    """What `extauth keys` imports before it begins: a person or a script waits for it each time."""
    program = "import sys, extauth.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    slow = ("starlette", "uvicorn", "httptools", "prometheus_client", "structlog", "rich", "redis", "uvloop")
    assert within(set(done.stdout.split()), *slow, "extauth.app", "extauth.admin") == set()


def test_a_store_is_chosen_in_one_place() -> None:
    """A new store is one more case there."""
    users = {name for name in NAMES if "extauth.stores.sqlite" in imports_of(name)}
    assert users == {"extauth.stores.open"}
    users = {name for name in NAMES if within(imports_of(name), "extauth.stores.redis", "redis")}
    assert users - within(set(NAMES), "extauth.stores.redis") == {"extauth.stores.open"}


def test_no_module_imports_itself_through_others() -> None:
    """Imports have no cycles: every module can be understood after those that it imports."""
    cycles = [name for name in NAMES if name in imports_all_the_way(name)]
    assert cycles == []


# The demo hands its own environment on to the programs that it starts; it reads nothing from it. What systemd
# says to a service stands in the environment (docs/restarts.md).
ENVIRONMENT_READERS = {"extauth.settings.load", "extauth.demo.service", "extauth.server.run"}


def test_the_environment_is_read_in_one_place() -> None:
    """A variable that some other module looks at would be in no documentation and checked by nobody."""
    readers = {
        name
        for name, file in NAMES.items()
        for node in nodes_of(file)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any("env" in alias.name for alias in node.names)
        )
    }
    assert readers == ENVIRONMENT_READERS


def test_library_code_asks_no_system_clock() -> None:
    """Time is handed in, so that tests can move it."""
    allowed = {"extauth.clock", "extauth.server.run", *within(set(NAMES), "extauth.demo")}
    askers = {
        name
        for name, file in NAMES.items()
        for node in nodes_of(file)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr)
        in {
            ("time", "time"),
            ("time", "time_ns"),
            ("datetime", "now"),
            ("datetime", "utcnow"),
            ("date", "today"),
        }
    }
    assert askers - allowed == set()


def test_no_base_http_middleware() -> None:
    """It costs a task for each request, and swallows what happens when a client leaves."""
    assert [str(file) for file in MODULES if "BaseHTTPMiddleware" in text_of(file)] == []


def test_files_are_short() -> None:
    """One idea each."""
    lengths = {name: len(text_of(file).splitlines()) for name, file in NAMES.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Return name and length of each function, docstring and decorators left out."""
    for node in nodes_of(file):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            docstring = body[0] if ast.get_docstring(node) is not None else None
            length = (node.end_lineno or 0) - node.lineno + 1
            if docstring is not None:
                length -= (docstring.end_lineno or 0) - docstring.lineno + 1
            yield node.name, length


def test_functions_are_short() -> None:
    """They fit on a screen."""
    assert [
        (name, function, length)
        for name, file in NAMES.items()
        for function, length in functions(file)
        if length > LONGEST_FUNCTION
    ] == []


def test_every_module_says_what_it_is_for() -> None:
    """In its first lines."""
    assert [
        name for name, file in NAMES.items() if text_of(file).strip() and not ast.get_docstring(tree_of(file))
    ] == []
