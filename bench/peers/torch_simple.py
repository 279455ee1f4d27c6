"""guide/simple in plain PyTorch, an epoch a turn: python torch_simple.py ROWS

As PyTorch's own tutorials write it: a loop over a DataLoader would be slower still, so the
batches are cut from a shuffled tensor.
"""

import sys

import torch
from turns import serve, timed


def main() -> None:
    """Train whenever it is asked for."""
    rows = int(sys.argv[1])
    torch.manual_seed(0)
    x, y = torch.rand(rows, 32), torch.rand(rows, 1)
    model = torch.nn.Linear(32, 1)
    optimizer = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        total, absolute = torch.zeros(()), torch.zeros(())
        for batch in torch.randperm(rows).split(32):
            prediction = model(x[batch])
            difference = prediction - y[batch]
            loss = (difference**2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            absolute += difference.detach().abs().mean()

    serve(lambda: timed(epoch))


if __name__ == "__main__":
    main()
