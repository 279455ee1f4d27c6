from fitx import steps

@steps.register
class Broken(
