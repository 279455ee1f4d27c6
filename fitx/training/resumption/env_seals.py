"""What `${env:...}` stood for when a run began, kept so that nobody can read it there."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.training.resumption.experiment_values import leaves, values, written
from fitx.training.resumption.verdict import verdict

ROUNDS = 50_000
"""Of the hash, about 15 ms: whoever has a run folder is not to find a value by trying."""


def seal(experiment: Experiment) -> dict[str, str]:
    """Return, by key, a salted hash of what came from the environment and is computed with.

    Left out is what does not touch the numbers, such as the password that a callback is given.
    """
    shown = experiment.as_mapping()
    return {
        dotted(path): _sealed(dotted(path), value, secrets.token_hex(16))
        for path, value in leaves(values(experiment))
        if "${env:" in written(shown, path, value) and _is_computed_with(path, value)
    }


def fits(sealed: str, key: str, value: Any) -> bool:
    """Whether a value is the one that was sealed under a key."""
    salt = sealed.partition("$")[0]
    return sealed == _sealed(key, value, salt)


def _is_computed_with(path: KeyPath, value: Any) -> bool:
    # Of data, the numbers themselves are compared; strings may be addresses and passwords.
    is_address = path[0] == "data" and isinstance(value, str)
    return verdict(path, value, value) != "harmless" and not is_address


def _sealed(key: str, value: Any, salt: str) -> str:
    content = json.dumps([key, value], default=str).encode()
    digest = hashlib.pbkdf2_hmac("sha256", content, salt.encode(), ROUNDS)
    return f"{salt}${digest.hex()}"
