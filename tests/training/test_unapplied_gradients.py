"""A note at the end of a training names gradients that were accumulated and never applied."""

import pytest


def notes(trained, recording, experiment):
    display = recording()
    trained(experiment, display)
    return display.notes


@pytest.mark.parametrize(("size", "last"), [(5, None), (4, "3 steps"), (7, "step")])
def test_the_last_steps_without_an_update_are_named(tiny, trained, recording, size, last):
    # Five steps in each of three epochs.
    found = notes(trained, recording, tiny(f"optimizer.gradient_accumulation_steps={size}"))

    text = (
        f"optimizer 'model': the gradients of the last {last} were not applied, because "
        f"the training ended before gradient_accumulation_steps ({size}) were complete"
    )
    assert found == ([text] if last else [])


def test_they_are_named_under_a_scaled_loss_too(tiny, trained, recording):
    words = "optimizer.gradient_accumulation_steps=100", "execution.precision=mixed_float16"
    (note,) = notes(trained, recording, tiny(*words))
    assert (
        "not applied, because the training ended before gradient_accumulation_steps (100)" in note
    )


def test_without_accumulation_nothing_is_left_over(tiny, trained, recording):
    assert notes(trained, recording, tiny()) == []
