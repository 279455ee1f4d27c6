"""Seals the values of `${env:...}` in run.json, so that a resume notices when one has changed.

A seal is a salted hash: the value itself, which may be a secret, cannot be read from it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.training.resumption.experiment_values import effective_values, leaf_values, shown_text
from fitx.training.resumption.verdicts import verdict

ROUNDS = 50_000
"""Rounds of the hash, about 15 ms, so that values are slow to guess from a run folder."""


def seal(experiment: Experiment) -> dict[str, str]:
    """Return, by key, the seals of values that come from the environment and affect the results.

    Values that do not affect them are left out, such as a password for a callback.
    """
    as_written = experiment.as_mapping()
    return {
        dotted(path): _sealed(dotted(path), value, secrets.token_hex(16))
        for path, value in leaf_values(effective_values(experiment))
        if "${env:" in shown_text(as_written, path, value) and _affects_results(path, value)
    }


def is_sealed_value(sealed: str, key: str, value: Any) -> bool:
    """Return whether a value is the one that was sealed under a key."""
    salt = sealed.partition("$")[0]
    return sealed == _sealed(key, value, salt)


def _affects_results(path: KeyPath, value: Any) -> bool:
    # Data is compared by its fingerprint; a string there may be an address with a password.
    is_address = path[0] == "data" and isinstance(value, str)
    return verdict(path, value, value) != "harmless" and not is_address


def _sealed(key: str, value: Any, salt: str) -> str:
    content = json.dumps([key, value], default=str).encode()
    digest = hashlib.pbkdf2_hmac("sha256", content, salt.encode(), ROUNDS)
    return f"{salt}${digest.hex()}"
