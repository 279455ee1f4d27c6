from fitx import datasets


@datasets.register
def long_text():
    return None


raise ValueError("first line\nsecond line")
