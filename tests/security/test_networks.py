"""Networks in a run are for others: fitx loads none, and imports nothing beside them."""

import base64
import io
import json
import marshal
import shutil
import zipfile

import numpy as np
import pytest


def network(place):
    """Return a Keras file whose one layer runs code where it is loaded."""
    code = compile(f"lambda x: ({place.shot}, x)[1]", "network", "eval").co_consts[0]
    packed = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": packed, "defaults": None}}
    function["config"]["closure"] = None
    layers = [
        part("InputLayer", batch_shape=[None, 2], dtype="float32", name="input"),
        part("Lambda", name="lambda", function=function),
        {**part("Dense", name="dense", units=1), "module": "keras_hub.layers"},
    ]
    config = {"module": "keras", "class_name": "Sequential", "registered_name": None}
    config["config"] = {"name": "model", "layers": layers[:2]}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", b"")
    return memory.getvalue()


def part(class_name, **config):
    known = {"module": "keras.layers", "class_name": class_name, "registered_name": None}
    return {**known, "config": config}


@pytest.fixture
def hostile(run, place):
    """A run whose networks hold code, amid folders that Keras would import from its path."""
    (run / "networks/best").mkdir(exist_ok=True)
    for folder in ("networks", "networks/best", "source", "checkpoints"):
        (run / folder / "model.keras").write_bytes(network(place))
        (run / folder / "plugin.py").write_text(place.shot)
    for folder in (place.work, run, run / "source"):
        for name in ("keras_hub", "keras_cv", "keras_nlp"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(place.shot)
        for name in ("sitecustomize", "yaml", "numpy", "tensorflow"):
            (folder / f"{name}.py").write_text(place.shot)
    return run


def test_evaluating_a_run_loads_no_network_of_its_folder(heavy, hostile, place):
    before = (hostile / "networks/model.keras").read_bytes()
    answer = heavy("evaluate", "run", code=0)
    assert "on the train split:" in answer["out"]
    assert (hostile / "networks/model.keras").read_bytes() == before


def test_resuming_a_run_loads_no_network_of_its_folder(heavy, hostile, place):
    facts = json.loads((hostile / "run.json").read_text())
    (hostile / "run.json").write_text(json.dumps({**facts, "status": "interrupted"}))
    before = (hostile / "networks/model.keras").read_bytes()
    heavy("resume", "run", "-q", code=0)
    assert (hostile / "networks/model.keras").read_bytes() != before


def test_training_in_a_hostile_folder_imports_nothing_from_it(heavy, hostile, place):
    np.savez(place.work / "data.npz", x=np.ones((16, 2)), y=np.ones((16, 1)))
    shutil.copy(hostile / "source/mine.yaml", place.work)
    heavy("train", "mine.yaml", "-q", code=0)


@pytest.mark.parametrize("name", ["model.keras", "networks"])
def test_a_network_is_no_run_and_no_experiment(light, hostile, name):
    light("evaluate", f"run/networks/{name}", code=2)


def test_the_canary_fires_where_keras_loads_such_a_network(heavy_process, place):
    file = place.write("model.keras", network(place))
    answer = heavy_process.ask(folder=place.work, loader="keras", file=file)
    assert place.canary.exists()
    assert any("canary" in event for event in answer["seen"])
