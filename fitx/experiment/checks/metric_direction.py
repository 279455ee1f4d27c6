"""Whether less or more of a logged value is better, judged by its name."""

from __future__ import annotations

import re
from typing import Literal

_LESS = "loss|error|crossentropy|mse|mae|mape|msle|divergence|perplexity|poisson|hinge"
_MORE = "accuracy|acc|auc|precision|recall|f1|f_beta|iou|r2|similarity|correlation|psnr"


def direction(name: str) -> Literal["min", "max"] | None:
    """Return min or max for a value whose name says it, None for any other.

    `val_loss` and `mean_squared_error` are better small, `test_accuracy` is better large.
    """
    if re.search(rf"(^|_)({_LESS})(_|$)", name):
        return "min"
    return "max" if re.search(rf"(^|_)({_MORE})(_|$)", name) else None
