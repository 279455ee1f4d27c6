"""Draws a grid of a step's images after each epoch."""

from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Ge

from fitx.callbacks import register
from fitx.errors import UsageError
from fitx.rundir.files import write_atomically

_GAP = 2
_LEAST_HEIGHT = 28
"""Height in pixels to which smaller images are enlarged, by a whole number."""


@register
class SampleGrid(keras.callbacks.Callback):
    """Draws images after each epoch, as one PNG: epoch-0001.png.

    A step with a method `sample_images(examples, seed)` draws by itself: it returns one image per
    row of `examples`, which are inputs of the data. Of any other step a network draws, which maps
    latent vectors to images and is called with `training=False`. Images have values in [0, 1] and
    1 or 3 channels; small ones are enlarged. Every epoch uses the same examples and the same random
    numbers, and the random state of the training is not changed.

    Args:
        folder: Folder of the pictures; the run's samples folder.
        examples: Inputs of the data, of the test split if there is one; (rows, ...).
        network: Name of the step's network to draw with; by default the step's `sample_images`,
            or `generator` if it has no such method.
        rows: Images from top to bottom.
        columns: Images from left to right.
        every: Number of epochs between pictures.
        seed: Seed of the random numbers; by default 0.

    Raises:
        UsageError: If the step has no such network or it does not generate images; before the
            first epoch.
    """

    stateless = True
    """Checkpoints need no state of this callback: it keeps none from one epoch to the next."""

    def __init__(
        self,
        folder: Path,
        examples: Any = None,
        *,
        network: str | None = None,
        rows: Annotated[int, Ge(1)] = 4,
        columns: Annotated[int, Ge(1)] = 8,
        every: Annotated[int, Ge(1)] = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.examples = examples
        self.network = network
        self.rows, self.columns = rows, columns
        self.every = every
        self.seed = seed

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Prepare the function that draws, and its inputs, which stay the same."""
        samples = getattr(self.model, "sample_images", None)
        if self.network is None and samples is not None:
            self._inputs = keras.tree.map_structure(self._one_per_image, self.examples)
            self._draw = tf.function(lambda examples: samples(examples, self.seed))
        else:
            network = self._network(self.network or "generator")
            shape = (self.rows * self.columns, *network.input_shape[1:])
            self._inputs = keras.random.normal(shape, seed=self.seed)
            self._draw = tf.function(lambda latents: network(latents, training=False))
        variables = self.model.variables
        self._seeds = [v for v in variables if v.path.endswith("seed_generator_state")]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the picture of this epoch.

        Raises:
            StorageError: If it cannot be written.
        """
        if (epoch + 1) % self.every:
            return
        before = [keras.ops.copy(seed) for seed in self._seeds]
        images = keras.ops.convert_to_numpy(self._draw(self._inputs))
        for seed, state in zip(self._seeds, before, strict=True):
            seed.assign(state)
        png = tf.io.encode_png(_grid(images, self.rows, self.columns)).numpy()
        write_atomically(self.folder / f"epoch-{epoch + 1:04d}.png", png)

    def _one_per_image(self, examples: Any) -> tf.Tensor:
        """Return as many rows of the examples as there are images; few are repeated."""
        count = self.rows * self.columns
        return tf.constant(np.resize(examples, (count, *np.shape(examples)[1:])))

    def _network(self, name: str) -> keras.Model:
        network = getattr(self.model, name, None)
        if not isinstance(network, keras.Model):
            raise UsageError(
                f"sample_grid: the step {type(self.model).__name__} has no network "
                f"'{name}'; set `network` to the one that draws."
            )
        input_shape, drawn = (
            getattr(network, side, None) for side in ("input_shape", "output_shape")
        )
        is_vector = isinstance(input_shape, tuple) and len(input_shape) == 2
        if is_vector and isinstance(drawn, tuple) and len(drawn) == 4 and drawn[-1] in (1, 3):
            return network
        raise UsageError(
            f"sample_grid: network '{name}' turns {input_shape} into {drawn}; expected one "
            "latent vector into images of shape (rows, height, width, 1 or 3)."
        )


def _grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Lay images out in a grid on grey, as uint8."""
    # A network that has diverged draws NaN, which has no uint8.
    tiles = np.rint(np.nan_to_num(images, nan=0.5).clip(0, 1) * 255).astype(np.uint8)
    scale = max(1, _LEAST_HEIGHT // tiles.shape[1])
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    gaps = ((0, 0), (_GAP, 0), (_GAP, 0), (0, 0))
    tiles = np.pad(tiles, gaps, constant_values=128)
    _, height, width, channels = tiles.shape
    laid = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = laid.reshape(rows * height, columns * width, channels)
    return np.pad(picture, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=128)
