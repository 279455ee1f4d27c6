import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, pathlib, sys
from fitx.errors import DataError
from fitx.registry.registries import datasets

def get(name, **options):
    try:
        splits = datasets.get(name)(**options)
    except DataError as error:
        return str(error).replace(sys.argv[1], "CACHE")
    return {name: list(map(about, split.arrays().values())) for name, split in splits.items()}

def about(array):
    return f"{array.dtype}{array.shape} to {array.max():.1f}"

found = {"mnist": get("mnist"), "cifar10": get("cifar10")}
found["cached"], found["scaled"] = get("fashion_mnist"), get("fashion_mnist", image_size=14)
damaged = pathlib.Path(sys.argv[1], "datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
damaged.write_bytes(damaged.read_bytes()[:50])
found["damaged"] = get("fashion_mnist")
damaged.unlink()
found["missing"] = get("fashion_mnist")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the datasets gave or said in a process without a network, by what was tried."""
    # Keras reads KERAS_HOME when it is imported, so that another cache needs another process.
    cache = tmp_path_factory.mktemp("keras")
    write_fashion(cache / "datasets" / "fashion-mnist")
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    environment = {**os.environ, **nowhere, "KERAS_HOME": str(cache), "no_proxy": ""}
    command = [sys.executable, "-c", SCRIPT, str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Downloading data from" in done.stderr
    return json.loads(done.stdout)


def write_fashion(folder):
    folder.mkdir(parents=True)
    for name, count in ("train", 3), ("t10k", 2):
        images = np.arange(count * 784, dtype=np.uint8).tobytes()
        labels = np.arange(count, dtype=np.uint8).tobytes()
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels))


def test_without_network_and_cache_the_file_and_its_place_are_named(found):
    url = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
    assert found["mnist"] == (
        "mnist: mnist.npz is not in CACHE/datasets, and downloading failed (URL fetch failure on "
        f"{url}: None -- [Errno 111] Connection refused).\n"
        "Where there is a network, fetch\n"
        f"  {url}\n"
        "  as CACHE/datasets/mnist.npz"
    )


def test_cifar10_names_the_archive_that_keras_looks_for(found):
    assert found["cifar10"].startswith(
        "cifar10: cifar-10-batches-py-target_archive is not in CACHE/datasets, and downloading "
    )
    assert found["cifar10"].endswith(
        "fetch\n  https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz\n"
        "  as CACHE/datasets/cifar-10-batches-py-target_archive"
    )


def test_cached_files_are_read(found):
    assert found["cached"] == {
        "train": ["float32(3, 28, 28, 1) to 1.0", "int32(3,) to 2.0"],
        "test": ["float32(2, 28, 28, 1) to 1.0", "int32(2,) to 1.0"],
    }


def test_cached_images_are_scaled(found):
    assert found["scaled"]["train"] == ["float32(3, 14, 14, 1) to 0.9", "int32(3,) to 2.0"]


def test_a_damaged_file_is_named(found):
    assert found["damaged"].startswith(
        "fashion_mnist: the files in Keras' cache cannot be read (Compressed file ended before "
        "the end-of-stream marker was reached); to download them anew, delete CACHE/datasets/"
    )
    assert found["damaged"].endswith("CACHE/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz.")


def test_only_the_missing_file_is_named(found):
    assert found["missing"].startswith(
        "fashion_mnist: fashion-mnist/t10k-images-idx3-ubyte.gz is not in CACHE/datasets, and "
    )
    assert found["missing"].endswith("as CACHE/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
