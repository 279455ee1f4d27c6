from fitx import datasets


@datasets.register
def returns():
    return None


return 3
