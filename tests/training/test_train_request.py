import pytest

from fitx.errors import StorageError
from fitx.experiment.problems import ConfigError
from fitx.training.train_request import prepare_request, shortened


def test_a_request_has_the_files_as_they_were_read(tiny, tmp_path):
    experiment = tiny(plugin="from fitx import models\n\n@models.register\ndef plugin(): pass\n")
    files = {file: file.read_bytes() for file in tmp_path.glob("*.[yp][ay]*")}
    request = prepare_request(experiment, tmp_path / "runs")
    (tmp_path / "plugin.py").write_text("changed while TensorFlow is imported")
    assert request.provenance.files == files
    assert {file.name for file in files} == {"plugin.py", "tiny.yaml"}


def test_an_experiment_that_trains_nothing_is_refused_with_what_can_be_done(tiny, tmp_path):
    with pytest.raises(ConfigError) as error:
        prepare_request(tiny("~optimizer"), tmp_path / "runs")
    assert (
        str(error.value)
        .partition("\n")[0]
        .endswith(
            "optimizer: missing; a network without an optimizer is frozen, so nothing would be "
            f"trained. `fitx evaluate {tmp_path}/tiny.yaml` evaluates the networks as they are."
        )
    )


def test_untrained_networks_need_no_optimizer_but_trying_it_does(tiny, tmp_path):
    untrained = tiny("~optimizer", "fit.epochs=0")
    assert prepare_request(untrained, tmp_path / "runs").smoke is False
    with pytest.raises(ConfigError):
        prepare_request(untrained, tmp_path / "runs", smoke=True)


def test_a_place_that_cannot_take_a_run_is_refused(tiny, tmp_path):
    with pytest.raises(StorageError) as error:
        prepare_request(tiny(), tmp_path / "tiny.yaml/runs")
    assert "tiny.yaml is not a folder" in str(error.value)


def test_a_shortened_experiment_takes_two_steps_of_everything_and_expects_nothing(tiny):
    words = ["fit.validation_freq=3", "fit.steps_per_epoch=4", "expect={loss: '< 1'}"]
    short = shortened(tiny(*words))
    assert short.fit.model_dump() == {
        "epochs": 1,
        "steps_per_epoch": 2,
        "validation_steps": 2,
        "validation_freq": 1,
        "allow_nan": [],
    }
    assert (short.name, short.expect) == ("tiny-smoke", {})


def test_a_long_name_is_cut_to_what_a_name_may_be(tiny):
    assert shortened(tiny(f"name={'n' * 100}")).name == f"{'n' * 94}-smoke"
