"""The losses and the metrics of networks with several outputs, as `keras.Model.compile` takes them.

One loss, or a list of metrics, is for a network with one output. With several outputs they are
given in a mapping by the name of the output, or in a list in the order of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union

from pydantic import Discriminator, Tag, WithJsonSchema

from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import PART_KEY, Part, is_part, optional_part_of, part_of

Weights = dict[str, float] | list[float]
"""The factors of the losses of several outputs, in their sum."""


def one_loss_or_several() -> Any:
    """Return the annotation of a loss, or the losses of several outputs; null for none."""
    loss, or_null = {PART_KEY: "loss"}, {"anyOf": [{PART_KEY: "loss"}, {"type": "null"}]}
    one = optional_part_of("loss")
    forms = {"part": part_of("loss"), "mapping": dict[str, one], "list": list[one]}  # type: ignore[valid-type]
    schema = [loss, _mapping(or_null), _list(or_null)]
    return _one_of(forms, _form, schema)


def metrics_of_outputs() -> Any:
    """Return the annotation of a list of metrics, or the metrics of several outputs."""
    # Without a name, a mapping is not one metric.
    is_named = {"anyOf": [{"type": "string"}, {"required": ["name"]}]}
    metric = {"allOf": [{PART_KEY: "metric"}, is_named]}
    some = {"part": part_of("metric"), "list": list[part_of("metric")]}  # type: ignore[misc]
    of_output = _one_of(some, lambda value: "list" if isinstance(value, list) else "part", [])
    forms = {"list": list[of_output], "mapping": dict[str, of_output]}  # type: ignore[valid-type]
    one_or_more = {"anyOf": [metric, _list(metric)]}
    schema = [metric, _mapping(one_or_more), _list(one_or_more)]
    return _one_of(forms, lambda v: "mapping" if _form(v) == "mapping" else "list", schema)


def _one_of(forms: dict[str, Any], form: Callable[[Any], str], schema: list[dict[str, Any]]) -> Any:
    """Return the union of the types of the forms in which a value may be written."""
    members = tuple(Annotated[type_, Tag(f"as a {name}")] for name, type_ in forms.items())
    choice = Discriminator(lambda value: f"as a {form(value)}")
    return Annotated[Union[members], choice, WithJsonSchema({"anyOf": schema})]  # noqa: UP007


def _form(value: Any) -> str:
    if isinstance(value, list):
        return "list"
    is_by_name = isinstance(value, dict) and "name" not in value
    return "mapping" if is_by_name and any(map(_holds_parts, value.values())) else "part"


def _holds_parts(value: Any) -> bool:
    return is_part(value) or (isinstance(value, list) and any(map(is_part, value)))


def _mapping(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def parts_by_key(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Part]]:
    """Yield the losses or metrics in a value by their key."""
    if isinstance(value, Part):
        yield path, value
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from parts_by_key(item, (*path, key))


def logged_names(metrics: Any) -> set[str]:
    """Return the names by which metrics are logged; those of an output begin with its name."""
    return {
        f"{path[0]}_{part.logged_as}" if isinstance(metrics, dict) else part.logged_as
        for path, part in parts_by_key(metrics, ())
    }


def is_logged_as(metric: Part, path: KeyPath, names: set[str]) -> bool:
    """Return whether the metric at a key has one of these names of logged values.

    Keras adds `weighted_` where a name is in both lists, and the name of one of several outputs.
    """
    known = {metric.logged_as, f"weighted_{metric.logged_as}"}
    # The names of outputs that a list gives metrics for are known to Keras alone.
    is_by_output = len(path) > len(("metrics", 0)) or isinstance(path[-1], str)
    endings = tuple(f"_{name}" for name in known)
    return any(name in known or (is_by_output and name.endswith(endings)) for name in names)
