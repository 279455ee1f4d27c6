import a_package_that_is_not_there

from fitx import datasets


@datasets.register
def needs_more(*, rows: int = 10):
    return a_package_that_is_not_there.load(rows)
