"""A stand-in for fitx in tests of the self-test: it counts steps instead of training.

`fault=` on its command line chooses what goes wrong.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from fitx import checkpoint
from fitx.rundir import folder, record
from fitx.rundir.files import write_json
from fitx.rundir.journal import Journal

RECORD = json.loads(Path(__file__).parents[1].joinpath("run_record.json").read_text())

command, target, *rest = sys.argv[1:]
options = dict(zip(rest[:-1], rest[1:], strict=True))
words = dict(word.split("=", 1) for word in rest if "=" in word)
fault = words.get("fault") or "none"
if command == "train":
    if fault == "refuses":
        sys.exit("nothing can be trained\nrun: nowhere")
    run = folder.create_run(Path(options["--out"]), "counter")
    rows = int(words.get("rows", 64))
    facts = {"mode": words.get("execution.mode", "plain").replace("measure", "xla")}
    if fault == f"killed-{Path(options['--out']).name}":
        number = int(words["signal"])
        # The exit code of fitx after SIGTERM.
        sys.exit(143) if number == signal.SIGTERM else os.kill(os.getpid(), number)
    data = {"train": {"rows": rows, "sha256": "0" * 64}}
    record.start(run, {**RECORD, **facts, "data": data})
    write_json(run / "words.json", words)
    epoch, passed, size, count = 0, 0, None, np.zeros(3)
else:
    run = Path(target)
    words = {**json.loads((run / "words.json").read_text()), **words}
    fault = words.get("fault")
    newest = checkpoint.newest(run / "checkpoints")
    epoch, passed, size = (newest.meta[key] for key in ("epoch", "passed", "journal_bytes"))
    count = newest.state["networks/model/count"]
    if fault == "fails":
        sys.exit("KeyError: 'of the user'")

steps = int(words.get("fit.steps_per_epoch", 0)) or int(words.get("rows", 64)) // 8
epochs = 1 if fault == "ends" else int(words["fit.epochs"])
stop = int(options.get("--stop-after", 0))
journal = Journal(run, size)
forgotten = 0


def save(phase):
    if fault == "hasty" and "interrupted" in str(run):
        return
    meta = {"epoch": epoch, "step": epoch * steps + passed, "passed": passed, "phase": phase}
    meta |= {"journal_bytes": journal.size, "seconds": time.time()}
    checkpoint.save(run / "checkpoints", meta["step"], {"networks/model/count": count}, meta, 1000)


while epoch < epochs:
    while passed < steps:
        passed, count, forgotten = passed + 1, count + 1, forgotten + 1
        time.sleep(0.002)
        done = epoch * steps + passed
        if fault == "forgets":
            count = count + forgotten
        if fault == "chance" and done == 2:
            count = count + np.frombuffer(os.urandom(3), "uint8")
        if done == stop and fault != "hasty":
            # A kill that is due comes first.
            time.sleep(0.2)
            save("epoch")
            sys.exit(143)
    epoch, passed = epoch + 1, 0
    logged = {"count": forgotten if fault == "logs" else float(count.sum())}
    journal.append(epoch, epoch * steps, 0.02, logged)
    save("between")
record.reopen(run).update(status="finished")
write_json(run / "summary.json", {"metrics": logged})
