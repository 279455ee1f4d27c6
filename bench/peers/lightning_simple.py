"""guide/simple under LightningCLI's Trainer, an epoch a turn: python lightning_simple.py ROWS

The Trainer writes and shows nothing, which is the fastest it can do.
"""

import logging
import sys
import time
import warnings

import lightning
import torch
from lightning.pytorch.cli import LightningCLI
from turns import serve

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")

ROWS = int(sys.argv.pop(1))


class Simple(lightning.LightningModule):
    """One dense unit."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Linear(32, 1)

    def training_step(self, batch, index):
        """Return the loss of one batch, and log it with the metric as means of the epoch."""
        x, y = batch
        difference = self.model(x) - y
        loss = (difference**2).mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        self.log("mae", difference.abs().mean(), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Random(lightning.LightningDataModule):
    """Random numbers in shuffled batches."""

    def __init__(self) -> None:
        super().__init__()
        self.data = torch.utils.data.TensorDataset(torch.rand(ROWS, 32), torch.rand(ROWS, 1))

    def train_dataloader(self):
        """Return the batches."""
        return torch.utils.data.DataLoader(self.data, batch_size=32, shuffle=True)


class EpochClock(lightning.Callback):
    """Notes how long the last epoch took."""

    seconds = began = 0.0

    def on_train_epoch_start(self, trainer, module):
        """Start."""
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        """Stop."""
        self.seconds = time.perf_counter() - self.began


def main() -> None:
    """Train whenever it is asked for."""
    quiet = {name: False for name in ("logger", "enable_progress_bar", "enable_model_summary")}
    clock = EpochClock()

    def epoch() -> float:
        defaults = {**quiet, "enable_checkpointing": False, "accelerator": "cpu", "max_epochs": 2}
        cli = LightningCLI(
            Simple, Random, run=False, trainer_defaults=defaults, save_config_callback=None
        )
        cli.trainer.callbacks.append(clock)
        cli.trainer.fit(cli.model, cli.datamodule)
        return clock.seconds

    serve(epoch)


if __name__ == "__main__":
    main()
