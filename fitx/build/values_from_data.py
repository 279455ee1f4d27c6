"""Values that models take from the data unless the experiment sets them: shapes and outputs."""

from __future__ import annotations

from typing import Any

from fitx.build.output_layer import output_layer_of_experiment
from fitx.data import structure
from fitx.data.splits import Splits, data_signature
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import Part


def values_from_data(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """Return the values by the name of the parameter that takes them.

    With several arrays in x or in y they are structures like these.
    """
    layer = output_layer_of_experiment(experiment, splits)
    return {
        **data_signature(splits),
        "outputs": layer.outputs,
        "output_activation": layer.activation,
    }


def refuse_structures(
    experiment: Experiment, part: Part, path: KeyPath, values: dict[str, Any]
) -> None:
    """Refuse a shipped model, which has one input and one output, for data with several.

    Raises:
        ConfigError: A value is a structure, and the experiment does not set another.
    """
    signature = experiment.part_index.signature("model", part.name)
    if signature is None or not experiment.part_index.is_shipped("model", part.name):
        return
    for name in (p.name for p in signature.parameters if p.name not in part.options):
        value = values.get(name)
        if name in ("input_shape", "image_shape") and _is_nested_shape(value):
            text = f"model '{part.name}' has one input, and this data has several; write a model"
            text += f" with several, which takes `input_shape`, or set {name}."
            raise experiment.error(path, text)
        if name in ("outputs", "output_activation") and structure.is_nested(value):
            text = f"model '{part.name}' has one output, and this data has labels for several;"
            text += f" write a model with several, which takes `outputs`, or set {name}."
            raise experiment.error(path, text)


def _is_nested_shape(shape: Any) -> bool:
    return isinstance(shape, dict) or (
        isinstance(shape, tuple) and not all(isinstance(side, int) for side in shape)
    )
