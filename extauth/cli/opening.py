"""What a command needs before it can begin: the settings, the opened store, the time, and who is asking."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import click

from extauth.clock import SystemClock, from_us
from extauth.keys.asked import Actor
from extauth.management import KeyManagement, open_key_management
from extauth.settings.load import load_from_environment
from extauth.settings.model import Settings

Result = TypeVar("Result")
CLOCK = SystemClock()


def settings_of(context: click.Context) -> Settings:
    """Load the settings. Raises ConfigError."""
    return load_from_environment(context.obj["config"])


def run(settings: Settings, work: Callable[[KeyManagement], Awaitable[Result]]) -> Result:
    """Do some work with the opened store. Raises StoreError, ConfigError and what the work raises."""

    async def opened() -> Result:
        async with open_key_management(settings, clock=CLOCK) as management:
            return await work(management)

    return asyncio.run(opened())


def now() -> datetime:
    """Return the time in UTC."""
    return from_us(CLOCK.now_us())


def actor() -> Actor:
    """Return who is asking, for the audit log: the login of this process and the name of this machine."""
    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # Containers often run under a number that no name belongs to.
        login = f"uid-{os.getuid()}"
    return Actor(name=f"cli:{login}", source=socket.gethostname())
