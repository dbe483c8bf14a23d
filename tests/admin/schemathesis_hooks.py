"""Loaded into schemathesis by `test_schemathesis.py`: keeps it from ending the key that it comes with.

It finds the ids of keys in answers and tries everything on them; without its own key it would see nothing but
401 from then on.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis

OWN_KEY_ID = os.environ["OWN_KEY_ID"]
ANOTHER = "AAAAbbbb0000"


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]
) -> None:
    """Put another id in the place of its own."""
    if case.path_parameters and case.path_parameters.get("key_id") == OWN_KEY_ID:
        case.path_parameters["key_id"] = ANOTHER
