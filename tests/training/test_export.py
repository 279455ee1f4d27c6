import keras
import numpy as np
import pytest

from fitx.build.make import make
from fitx.errors import StorageError
from fitx.training.export import save_networks
from fitx.training.state.best_epoch import BestEpoch
from fitx.training.state.variables import network_state


@pytest.fixture
def step(tiny):
    return make(tiny()).step


def weights(file):
    return keras.saving.load_model(file).get_weights()


def same(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_networks_are_files_that_keras_loads(step, tmp_path):
    save_networks(step, tmp_path, None)
    assert [file.name for file in tmp_path.glob("*keras*")] == ["model.keras"]
    assert same(weights(tmp_path / "model.keras"), step.networks["model"].get_weights())


def test_the_best_are_saved_beside_the_final_which_stay_as_they_are(step, tmp_path):
    network = step.networks["model"]
    best = network.get_weights()
    kept = BestEpoch("loss", "min", 1, 0.5, network_state(step))
    network.set_weights([array + 1 for array in best])
    final = network.get_weights()
    save_networks(step, tmp_path, kept)
    assert same(weights(tmp_path / "best/model.keras"), best)
    assert same(weights(tmp_path / "model.keras"), final)
    assert same(network.get_weights(), final)


@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_a_full_disk_leaves_no_part_of_a_file(step, tmp_path, monkeypatch, call):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, full_disk)
    with pytest.raises(StorageError) as error:
        save_networks(step, tmp_path, None)
    assert str(error.value) == f"cannot write {tmp_path / 'model.keras'}: No space left on device"
    assert not list(tmp_path.rglob("*keras"))


def test_the_final_networks_survive_a_failure_to_write_the_best(step, tmp_path):
    best = BestEpoch("loss", "min", 1, 0.5, {k: v + 1 for k, v in network_state(step).items()})
    before = step.networks["model"].get_weights()
    (tmp_path / "best").write_text("in the way")
    with pytest.raises(StorageError) as error:
        save_networks(step, tmp_path, best)
    assert str(error.value) == f"cannot write {tmp_path / 'best'}: File exists"
    assert same(step.networks["model"].get_weights(), before)
