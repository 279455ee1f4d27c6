import neighbour
from fitx import datasets


@datasets.register
def with_neighbour():
    return neighbour.load()
