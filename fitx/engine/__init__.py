"""How a step is executed: one batch a call or many, by TensorFlow's kernels or by XLA's program.

`fit` stays the loop over epochs. It calls the functions made here, which run the step and feed
what it returns to means over the epoch; nothing comes back to Python until somebody asks.
"""
