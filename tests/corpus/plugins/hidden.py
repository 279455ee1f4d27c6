from fitx import datasets

if len(datasets.__name__) > 1000:

    @datasets.register
    def hidden():
        return None
