import neighbour


def load():
    return neighbour.load()
