"""Train experiments on two virtual devices, one after the other: TensorFlow splits a CPU once."""

import json
import sys
from pathlib import Path

from fitx.cli.display import NoDisplay
from fitx.commands.train import train
from fitx.errors import FitxError
from fitx.experiment.check import read
from fitx.training.train_request import TrainRequest

FITX_KINDS = ("execution.strategy=mirrored", "execution.virtual_devices=2")


def outcome(name, words, out):
    display, notes = NoDisplay(), []
    display.note = notes.append
    try:
        result = train(read(name, (*words, *FITX_KINDS)), TrainRequest(Path(out)), display)
    except FitxError as error:
        return {"error": str(error), "code": error.exit_code}
    return {"run": str(result.run), "metrics": result.metrics, "notes": notes}


if __name__ == "__main__":
    out, *cases = sys.argv[1:]
    print(json.dumps([outcome(*json.loads(case), out) for case in cases]))
