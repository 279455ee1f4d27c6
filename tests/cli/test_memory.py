import numpy as np
import pytest

from fitx import memory

PLUGIN = '''
import numpy as np
from fitx import Split, datasets


@datasets.register
def huge(*, seed: int):
    """Rows that need more memory than any machine has."""
    x = np.ones((10**15, 4), "float32")
    return {"train": Split(x, x)}
'''
TOO_LARGE = """
plugins: [huge.py]
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: random, features: 4, rows: 64}
fit: {epochs: 1}
"""
INSIDE = '''
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Inside(Step):
    """Multiply arrays that need more memory than any machine has."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            large = tf.random.uniform([10**6 * tf.shape(x)[0], 10**6])
            loss = self.compute_loss(y=y, y_pred=self(x, training=True)) + tf.reduce_mean(large)
        self.minimize(loss, tape, "model")
        return {"loss": loss}
'''
DATA = "data={name: random, rows: 1000000000000000}"
MODEL = "model={name: mlp, units: [1000000000000]}"


@pytest.fixture(scope="module")
def attempts(tmp_path_factory, launch, here):
    """Run trainings whose data, network, plugin or step needs more memory than any machine has."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "huge.py").write_text(PLUGIN)
    (folder / "my.yaml").write_text(TOO_LARGE)
    (folder / "inside.py").write_text(INSIDE)
    command = ("train", "my.yaml", "-q")
    # They end a process in a way of their own.
    inside = {
        mode: launch(
            folder, *command, "plugins=[inside.py]", "step=inside", f"execution.mode={mode}"
        )
        for mode in ("plain", "xla")
    }
    return {
        "data": here(folder, *command, DATA),
        "model": here(folder, *command, MODEL),
        "plugin": here(folder, *command, "data=huge"),
        "step": inside["plain"].result(),
        "xla": inside["xla"].result(),
    }


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        ("data", "Unable to allocate 227. PiB for an array with shape (32000000000000000,)"),
        (
            "model",
            "unable to allocate 14.6 TiB for a tensor of shape [4, 1000000000000], type float",
        ),
        ("step", "unable to allocate 116.4 TiB for a tensor of shape [32000000, 1000000], type"),
        ("xla", "trying to allocate 116."),
        ("plugin", "data type float32 (huge.py, line 9)"),
    ],
)
def test_whatever_does_not_fit_into_memory_has_one_exit_code_and_both_numbers(
    attempts, what, asked
):
    done = attempts[what]
    assert done.code == 4
    assert done.err.startswith("out of memory: ")
    assert asked in done.err
    assert "This process has " in done.err
    assert len([line for line in done.err.splitlines() if not line.startswith("run: ")]) == 1


def test_an_array_in_a_file_that_does_not_fit_is_no_damage(tmp_path, monkeypatch):
    from fitx.datasets.npz import npz

    def empty(*_, **__):
        raise MemoryError("Unable to allocate 9. TiB for an array")

    np.savez(tmp_path / "a.npz", x=np.ones((4, 2)), y=np.ones(4))
    monkeypatch.setattr(np, "empty", empty)
    with pytest.raises(MemoryError):
        npz(path=tmp_path / "a.npz")


def test_what_there_is_counts_the_limit_of_the_process():
    text = str(memory.out_of_memory(MemoryError()))
    assert text.startswith("out of memory: no memory left. This process has ")
    assert text.endswith("or use a machine with more.")


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (
            "OOM when allocating tensor with shape[2,1073741824] and type half on /GPU:0",
            "unable to allocate 4.0 GiB for a tensor of shape [2, 1073741824], type half. Lower",
        ),
        ("Out of memory while trying to allocate 1536 bytes on GPU", "allocate 1.5 KiB. Lower"),
    ],
)
def test_the_words_of_tensorflow_and_xla_are_read(said, asked):
    assert asked in str(memory.out_of_memory(MemoryError(said)))
