"""The demo from its start to its end: the one place that knows the order of things."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from extauth.demo import story
from extauth.demo.conflicts import require_free
from extauth.demo.folder import demo_directory
from extauth.demo.follow import Follower
from extauth.demo.ports import Ports
from extauth.demo.processes import Program, Programs
from extauth.demo.proxies import Proxy, installed_proxies
from extauth.demo.service import make_keys, service_program, write_configuration
from extauth.demo.stop import StopSignals
from extauth.demo.terminal import say
from extauth.demo.upstream import upstream_program
from extauth.settings.load import load_settings
from extauth.settings.model import Settings

_LOOK_EVERY_SECONDS = 0.05
_OWN_PORTS = frozenset({"check", "admin", "completion", "upstream"})


def run_demo(*, directory: Path, ports: Ports, console: Console) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP.

    Raises:
        DemoError: It can't start, or one of its programs ended. Whatever was started is stopped by then.
    """
    proxies = installed_proxies(console)
    require_free(ports, needed=_OWN_PORTS.union(*(proxy.ports for proxy in proxies)))
    with StopSignals() as signals, demo_directory(directory) as folder:
        configuration = write_configuration(folder, ports)
        settings = load_settings(configuration, {})
        setting = story.Setting(
            proxies={proxy.name: proxy.client_port(ports) for proxy in proxies},
            ports=ports,
            keys=make_keys(configuration),
            directory=folder,
            command=f"{_extauth()} --config {shlex.quote(str(configuration))}",
        )
        programs = Programs()
        try:
            for program in _programs(proxies, configuration, folder, ports, settings):
                programs.start(program)
            programs.wait_until_ready(give_up=lambda: signals.wanted)
            if not signals.wanted:
                story.tell(console, setting)
                _follow(programs, folder / "extauth.log", console, signals)
            say(console, "\nStopping …", "bold")
        finally:
            programs.stop()


def _programs(
    proxies: list[Proxy], configuration: Path, directory: Path, ports: Ports, settings: Settings
) -> Iterator[Program]:
    """Yield what is to run. The proxies come last, so that they are stopped first and never ask in vain."""
    yield service_program(configuration, directory=directory, ports=ports)
    yield upstream_program(directory=directory, ports=ports)
    for proxy in proxies:
        yield proxy.program(directory, ports, settings)


def _follow(programs: Programs, log: Path, console: Console, signals: StopSignals) -> None:
    with Follower(log, console) as follower:
        while not signals.wanted:
            follower.show_new()
            programs.require_alive()
            time.sleep(_LOOK_EVERY_SECONDS)


def _extauth() -> str:
    """Return how the person in front of the terminal calls extauth."""
    script = Path(sys.executable).with_name("extauth")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m extauth"
    return shlex.quote(str(script))
