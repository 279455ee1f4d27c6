"""Hostile experiment files: exit code 2, nothing named in them imported, called or opened."""

import textwrap

import pytest

WORDS = (
    *("os.system", "keras.utils.get_file", "hostile:main", "__import__('os').system('true')"),
    *("{folder}/hostile.py", "http://127.0.0.1:9/hostile"),
)
BASE = {
    "step": "supervised",
    "loss": "mse",
    "optimizer": "adam",
    "model": "mlp",
    "data": "digits",
}
FIELDS = {
    "step": "step: WORD",
    "step's name": "step: {name: WORD}",
    "model": "model: WORD",
    "activation": "model: {name: mlp, activation: WORD}",
    "layer": "model: {name: sequential, layers: [WORD]}",
    "layer's activation": "model: {name: sequential, layers: [{name: dense, units: 2, "
    "activation: WORD}]}",
    "initializer": "model: {name: sequential, layers: [{name: dense, units: 2, "
    "kernel_initializer: WORD}]}",
    "regularizer": "model: {name: sequential, layers: [{name: dense, units: 2, "
    "kernel_regularizer: {name: WORD}}]}",
    "constraint": "model: {name: sequential, layers: [{name: dense, units: 2, "
    "kernel_constraint: WORD}]}",
    "networks": "networks: {model: WORD}",
    "optimizer": "optimizer: WORD",
    "optimizers": "optimizers: {model: WORD}",
    "learning_rate": "optimizer: {name: adam, learning_rate: WORD}",
    "schedule": "optimizer: {name: adam, learning_rate: {name: WORD}}",
    "loss": "loss: WORD",
    "metrics": "metrics: [WORD]",
    "data": "data: WORD",
    "data's option": "data: {name: digits, image_size: WORD}",
    "callbacks": "callbacks: [WORD]",
    "schedule of a callback": "callbacks: [{name: learning_rate_scheduler, schedule: WORD}]",
    "monitor": "callbacks: [{name: early_stopping, monitor: WORD}]",
    "checkpoint.every": "checkpoint: {every: WORD}",
    "checkpoint.monitor": "checkpoint: {monitor: WORD}",
    "checkpoint.mode": "checkpoint: {mode: WORD}",
    "device": "execution: {device: WORD}",
    "strategy": "execution: {strategy: WORD}",
    "precision": "execution: {precision: WORD}",
    "mode": "execution: {mode: WORD}",
    "expect": "expect: {loss: WORD}",
    "name": "name: WORD/",
    "seed": "seed: WORD",
    "version": "version: WORD",
    "plugins": "plugins: [WORD]",
    "extends": "extends: WORD",
    "unknown": "WORD: 1",
}


@pytest.mark.parametrize("field", FIELDS)
def test_no_word_of_a_field_is_imported_or_called(light, place, field):
    for folder in (place.work, place.outside):
        (folder / "hostile.py").write_text(place.shot)
    line = FIELDS[field]
    key = line.partition(":")[0]
    given = {"networks": "model", "optimizers": "optimizer"}.get(key, key)
    base = "".join(f"{k}: {v}\n" for k, v in BASE.items() if k != given)
    for word in WORDS:
        quoted = '"' + word.format(folder=place.work) + '"'
        place.write("mine.yaml", base + line.replace("WORD", quoted) + "\n")
        light("check", "mine.yaml", code=2)


LAYERS = ("lambda", "Lambda", "TFSMLayer", "torch_module_wrapper", "jax_layer", "flax_layer")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_holds_code_is_no_layer(light, place, layer):
    model = f"{{name: sequential, layers: [{{name: {layer}, function: os.system}}]}}"
    base = "".join(f"{k}: {v}\n" for k, v in BASE.items() if k != "model")
    place.write("mine.yaml", f"{base}model: {model}\n")
    assert "an experiment file cannot hold its code" in light("check", "mine.yaml", code=2)["err"]


@pytest.mark.parametrize("layer", ["string_lookup", "integer_lookup", "text_vectorization"])
def test_a_vocabulary_is_a_list_and_no_file_to_read(light, place, layer):
    model = f"{{name: sequential, layers: [{{name: {layer}, vocabulary: {place.secret}}}]}}"
    base = "".join(f"{k}: {v}\n" for k, v in BASE.items() if k != "model")
    place.write("mine.yaml", f"{base}model: {model}\n")
    answer = light("check", "mine.yaml", code=2)
    assert "vocabulary: expected a list, found the string" in answer["err"]


CALL = "!!python/object/apply:os.system ['touch canary']"
YAML = {
    "call": f"step: {CALL}\n",
    "call as a key": f"? {CALL}\n: 1\n",
    "new object": "step: !!python/object/new:os.system ['true']\n",
    "module": "step: !!python/module:hostile\n",
    "name": "step: !!python/name:os.system\n",
    "own tag": "%TAG ! tag:yaml.org,2002:python/\n---\nstep: !name:os.system x\n",
    "aliases": "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(9)),
    "merges": "a: &a {k: v}\n" + "".join(f"b{n}: {{<<: [*a, *a]}}\n" for n in range(9)),
    "depth": "step: " + "[" * 100_000 + "\n",
    "depth of mappings": "{a: " * 100_000 + "\n",
    "size": "# large\n" * (10 << 17),
    "long line": "step: " + "x" * 1_000_000 + "\n",
    "many keys": "".join(f"k{n}: 1\n" for n in range(80_000)),
    "many plugins": "plugins: [" + "x, " * 9_000 + "]\n",
    "many parts": "metrics: [" + "x, " * 500 + "]\n",
    "many values": "metrics: [" + "x, " * 40_000 + "]\n",
    "nul": "step: super\0vised\n",
    "escape": 'step: "\\e]0;owned\\a\\e[2J"\n',
    "escape in a key": '"\\e[31m": 1\n',
    "right to left": "step: \u202esupervised\n",
    "digits": "seed: " + "9" * 100_000 + "\n",
    "date": "seed: 2024-99-99\n",
    "environment": "step: ${env:PATH:-$(touch canary)}\n",
    "command": "step: $(touch canary)\n",
    "utf-16": "step: supervised\n".encode("utf-16"),
    "utf-7": b"step: +AGEAYg-\n",
    "pickle": b"\x80\x04c__builtin__\nexec\n.",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_is_no_experiment_is_refused(light, place, name):
    place.write("hostile.py", place.shot)
    place.write("mine.yaml", YAML[name])
    light("check", "mine.yaml", code=2)
    assert not (place.work / "canary").exists()


WORDS_OF_A_COMMAND = (
    *("step=!!python/name:os.system", "step={name: !!python/module:hostile x}", "a=[" + "[" * 9999),
    *("data.path=\x1b[2J", "extends=/etc/passwd", "plugins+=/dev/zero", "plugins+=/proc/self/mem"),
)


@pytest.mark.parametrize("word", WORDS_OF_A_COMMAND)
def test_words_of_a_command_are_held_to_the_same(light, place, word):
    light("check", "guide/simple", word, code=2)


def test_names_of_files_cannot_draw_on_the_terminal(light, place):
    name = "a\x1b[2J\x9b31m\r\u202eb"
    place.write(f"runs/{name}/20260101-000000-0000/run.json", "{}")
    answer = light("evaluate", "nothing", code=2)
    assert r"Runs in runs/: a\x1b[2J\x9b31m\r\u202eb." in answer["err"]
    answer = light("check", f"{name}.yaml", code=2)
    assert answer["err"].startswith(r"a\x1b[2J\x9b31m\r\u202eb.yaml: there is no such file.")


def test_a_plugin_of_the_file_on_the_command_line_is_code(light, place):
    """The other side of the promise, and the proof that this process would tell."""
    plugin = place.write(
        "plain.py",
        textwrap.dedent("""
            from pathlib import Path
            from fitx import models

            Path("imported").touch()

            @models.register
            def plain(input_shape, outputs):
                '''Not made here.'''
        """),
    )
    base = "".join(f"{k}: {v}\n" for k, v in BASE.items() if k != "model")
    place.write("mine.yaml", f"{base}model: plain\nplugins: [plain.py]\n")
    light("check", "mine.yaml", code=0, plugins=[str(plugin)])
    assert (place.work / "imported").exists()
    with pytest.raises(AssertionError, match=r"exec .*plain\.py"):
        light("check", "mine.yaml", code=0)


SECRET = "tok_Zq3vXw8PfJr6LmT2-yB9dKs4HnC" * 4


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_of_the_environment_is_told(light_process, place, field):
    line = FIELDS[field]
    key = line.partition(":")[0]
    given = {"networks": "model", "optimizers": "optimizer"}.get(key, key)
    base = "".join(f"{k}: {v}\n" for k, v in BASE.items() if k != given)
    place.write("mine.yaml", base + line.replace("WORD", '"${env:FITX_SECRET}"') + "\n")
    for option in ((), ("--json",), ("--verbose",)):
        variables = {"FITX_SECRET": SECRET}
        request = {"folder": place.work, "words": ["check", "mine.yaml", *option]}
        answer = light_process.ask(**request, variables=variables)
        assert answer["code"] == 2
        said = answer["out"] + answer["err"]
        assert not [n for n in range(len(SECRET) - 9) if SECRET[n : n + 10] in said]
