from fitx import Step, steps


@steps.register
class ThreeNetworks(Step):
    """Trains the first of three networks."""

    def __init__(self, online, target, average):
        super().__init__(online=online, target=target, average=average)
