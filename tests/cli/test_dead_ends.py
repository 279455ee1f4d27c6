"""Plugins that would lead nowhere are refused by name; those that work are let through."""

import pytest

from .dead_ends import ONE, PAIR, Shell, step

FITS = """
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = {loss}
        self.minimize(loss, tape, "model")
        return {{"loss": loss}}
"""
OWN = "tf.reduce_mean((self(x, training=True) - y) ** 2)"
RAW = FITS.format(loss=OWN)
MEASURED = """
    def test_step(self, data):
        return {"loss": tf.reduce_mean(self(data[0]) - data[1])}
"""
APPLY = (
    "self.optimizer.apply(tape.gradient(loss, variables := self.trainable_variables), variables)"
)
UNSCALED = RAW.replace('self.minimize(loss, tape, "model")', APPLY)
COMPUTED = """
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(tf.abs(y - y_pred))
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    return Shell(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("body", "words", "logged"),
    [
        (
            "def train_step(self, data):\n    return super().train_step(data)",
            ["loss=mse", "metrics=[mae]"],
            {"loss", "mae"},
        ),
        ("pass", ["loss=mse", "metrics=[mae]"], {"loss", "mae"}),
        (FITS.format(loss="self.loss(y, self(x, training=True))"), ["loss=mse"], {"loss"}),
        (
            "def train_step(self, data):\n    return fitted(self, data)",
            ["loss=mse", "metrics=[mae]"],
            {"loss", "mae"},
        ),
        (COMPUTED, [], {"loss"}),
        (COMPUTED, ["metrics=[mae]"], {"loss", "mae"}),
        (RAW, [], {"loss"}),
        (RAW, ["loss=mse"], {"loss"}),
        (RAW, ["loss=mse", "data.validation_split=0.5"], {"loss", "val_loss"}),
        (UNSCALED, [], {"loss"}),
    ],
)
def test_a_step_takes_loss_and_metrics_in_any_way_that_keras_knows(shell, body, words, logged):
    fitted = "def fitted(step, data):\n    return keras.Model.train_step(step, data)\n\n\n"
    shell.write(fitted + step(body))
    words = ["own.yaml", *words]

    checked, trained = shell.fitx("check", *words), shell.fitx("train", *words)

    assert (checked.code, trained.code) == (0, 0), checked.err + trained.err
    assert {line.split()[0] for line in trained.out.splitlines()} == {*logged, "run:"}


@pytest.mark.parametrize(
    ("body", "words", "text"),
    [
        (
            RAW + MEASURED,
            ["loss=mse"],
            "loss: step 'own' takes no loss: it computes its own; remove the key.",
        ),
        (
            COMPUTED,
            ["loss=mse"],
            "loss: step 'own' takes no loss: it computes its own; remove the key.",
        ),
        (
            RAW,
            ["metrics=[mae]"],
            "metrics: step 'own' takes no metrics: it keeps its own; remove the key.",
        ),
        ("pass", [], "loss: missing; step 'own' computes it, for example `loss: mse`."),
        (
            FITS.format(loss="self.compute_loss(y=y, y_pred=self(x))"),
            [],
            "loss: missing; step 'own' computes it, for example `loss: mse`.",
        ),
        (
            "pass",
            ["loss=mse", "callbacks=[{name: early_stopping, monitor: val_los, mode: min}]"],
            "callbacks.0.monitor: 'val_los' is not logged; logged is loss.",
        ),
        ("pass", ["loss=mse", "expect={mae: '< 1'}"], "expect.mae: 'mae' is not logged;"),
        (
            RAW,
            ["data.validation_split=0.5"],
            "data.validation_split: has no effect: step 'own' has no test_step,",
        ),
        (
            RAW,
            ["fit.validation_freq=2"],
            "fit.validation_freq: has no effect: step 'own' has no test_step, so nothing is "
            "validated; write a test_step, or remove the key.",
        ),
        (RAW, ["fit.validation_steps=2"], "fit.validation_steps: has no effect: step 'own' has no"),
        (
            UNSCALED,
            ["execution.precision=mixed_float16"],
            "execution.precision: float16 needs a scaled loss: let the step call "
            "self.minimize(loss, tape, network), or write mixed_bfloat16.",
        ),
        (
            UNSCALED,
            ["optimizer.loss_scale_factor=1024"],
            "optimizer.loss_scale_factor: the optimizer divides by it, and the step does not "
            "multiply: let the step call self.minimize(loss, tape, network).",
        ),
    ],
)
def test_a_key_without_effect_is_refused_before_a_run_folder_exists(shell, body, words, text):
    shell.write(step(body))

    answer = shell.fitx("train", "own.yaml", *words)

    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert not shell.runs


RAW_KERAS = """
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return {"loss": loss}
"""
NO_OPTIMIZER = """
plugins: [own.py]
step: Own
model: linear
loss: mse
data: {name: random, rows: 24, features: 3, batch_size: 8}
"""


@pytest.mark.parametrize("body", ["", RAW_KERAS], ids=["step of Keras", "own step"])
def test_a_class_without_an_optimizer_is_told_to_name_one(shell, body):
    shell.write(f"class Own(keras.Model):\n    pass\n{body}", NO_OPTIMIZER)

    answer = shell.fitx("train", "own.yaml")

    assert (answer.code, answer.out) == (2, "")
    text = "optimizer: missing; step 'Own' updates weights by self.optimizer, for example"
    assert text in answer.err
    assert not shell.runs


CLASS = """
plugins: [own.py]
step: {step}
model: {model}
optimizer: {{name: sgd, loss_scale_factor: 8}}
data: {{name: random, rows: 24, features: 3, batch_size: 8}}
"""


@pytest.mark.parametrize(
    ("experiment", "words", "text"),
    [
        (
            CLASS.format(step="Own", model="linear"),
            [],
            "own.yaml:5:24: optimizer.loss_scale_factor: the optimizer divides by it, and the step "
            "does not multiply: multiply the loss by self.optimizer.scale_loss(loss) inside the",
        ),
        (
            CLASS.format(step="Own", model="linear").replace(
                "optimizer: {name: sgd, loss_scale_factor: 8}",
                "compile: {optimizer: {name: sgd, loss_scale_factor: 8}}",
            ),
            [],
            "own.yaml:5:34: compile.optimizer.loss_scale_factor: the optimizer divides by it",
        ),
        (
            CLASS.format(step="Own", model="linear"),
            ["execution.precision=mixed_float16", "optimizer=sgd"],
            "execution.precision: float16 needs a scaled loss: multiply the loss by self.opt",
        ),
        (
            CLASS.format(step="Own", model="Net"),
            [],
            "own.yaml:4:1: model: 'Net' is no functional model, from whose inputs and outputs a "
            "step is made; let the step take it: `def __init__(self, model)`.",
        ),
    ],
)
def test_what_a_class_cannot_do_is_said_with_the_remedy(shell, experiment, words, text):
    net = "class Net(keras.Model):\n    def call(self, x):\n        return x\n\n\n"
    shell.write(f"{net}class Own(keras.Model):\n    pass\n{RAW_KERAS}", experiment)

    answer = shell.fitx("train", "own.yaml", *words)

    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert not shell.runs


TWO = """
    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((self.back(self.front(x)) - y) ** 2)
        {line}
        return {{"loss": loss}}
"""
NETWORKS = """
    def __init__(self, front, back):
        super().__init__(front=front, back=back)

"""


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (
            step(RAW + "\n    def compile(self, d_optimizer, loss_fn):\n        super().compile()"),
            "step: class Own has a `compile` of its own, which fitx cannot call: remove it; "
            "optimizers come from the experiment and are called self.<network>_optimizer;",
        ),
        (
            step(RAW + "\n    def compile(self, *args, **keywords):\n        self.ready = True"),
            "step: class Own has a `compile` of its own, which fitx cannot call: remove it;",
        ),
        (
            step(
                RAW + "\n    def make_train_function(self, force=False):\n        return None",
                "@steps.register\nclass Own(keras.Model):",
            ),
            "step: class Own has a `make_train_function` of its own, but fitx runs the steps: "
            "remove it.",
        ),
        (
            step(RAW, "@steps.register\nclass Own:"),
            "step: class Own is no step: it derives neither from keras.Model nor from fitx.Step.",
        ),
        (
            step("def __init__(self, model, rate: float = 0.5): ..."),
            "step: step 'own' has its setting 'rate' among its networks; put `*` before it: "
            "`def __init__(self, model, *, rate: float = 0.5)`.",
        ),
        (
            step("def __init__(self, *, rate: float = 0.5):\n    super().__init__()"),
            "step: class Own has no network among its constructor's parameters: write "
            "`def __init__(self, model, *, ...)`, and call super().__init__(model=model) there.",
        ),
        (
            step(RAW + "\n    def _flatten_layers(self, x):\n        return x"),
            "step: class Own has a '_flatten_layers', which hides a method of Keras: rename it.",
        ),
        (
            step(RAW + "\n    def execution(self):\n        return {}"),
            "step: class Own calls an attribute 'execution', which is reserved by Step: rename it",
        ),
        (
            step(RAW + "\n    def loss(self, y, y_pred):\n        return y"),
            "step: class Own calls an attribute 'loss', which is reserved by Step: rename it",
        ),
        (
            step(RAW + "\n    def fit(self, x):\n        return None"),
            "step: class Own has a `fit` of its own that does not hand its arguments on: remove",
        ),
    ],
)
def test_a_class_that_cannot_be_trained_is_refused_by_check_and_train(shell, plugin, text):
    shell.write(plugin)

    for verb in ("check", "train"):
        answer = shell.fitx(verb, "own.yaml")

        assert (answer.code, answer.out) == (2, "")
        assert text in answer.err
        assert "own.yaml:3:1: step: " in answer.err
    assert not shell.runs


def test_a_setting_by_position_is_explained_where_it_is_set_too(shell):
    shell.write(step("def __init__(self, model, rate: float = 0.5): ..."))

    answer = shell.fitx("check", "own.yaml", "step={name: own, rate: 0.1}")

    assert answer.code == 2
    assert "has its setting 'rate' among its networks; put `*` before it" in answer.err


@pytest.mark.parametrize(
    "body",
    [
        RAW + "\n    def compile(self, *args, **keywords):\n"
        "        super().compile(*args, **keywords)\n        self.ready = True",
        RAW + "\n    def fit(self, *args, **keywords):\n"
        "        return super().fit(*args, **keywords)",
        RAW + "\n    def _lock_state(self):\n        return super()._lock_state()",
        RAW + "\n    def minimize(self, loss, tape, network):\n"
        "        super().minimize(loss, tape, network)",
    ],
)
def test_a_class_that_overrides_what_it_hands_on_is_trained(shell, body):
    shell.write(step(body))

    for verb in ("check", "train"):
        assert shell.fitx(verb, "own.yaml", "model=linear").code == 0
    assert len(shell.runs) == 1


def test_an_optional_network_may_be_left_out(shell):
    constructor = """
    def __init__(self, front, back=None):
        super().__init__(front=front, back=back)

    """
    shell.write(step(constructor + RAW.replace('"model"', '"front"')), PAIR)

    alone = shell.fitx("train", "own.yaml", "~networks.back", "~optimizers.back")
    both = shell.fitx("train", "own.yaml", "networks.front={name: linear}")
    without = shell.fitx("train", "own.yaml", "~networks.back")

    assert (alone.code, both.code, without.code) == (0, 0, 2), alone.err + both.err
    assert "optimizers.back: networks.back is missing; add it, or" in without.err


def test_parts_are_registered_by_the_module_s_own_name_too(shell):
    shell.write("import fitx\n\n\n" + step(RAW, "@fitx.steps.register\nclass Own(fitx.Step):"))

    assert shell.fitx("train", "own.yaml").code == 0


@pytest.mark.parametrize(
    ("body", "experiment", "text"),
    [
        (
            NETWORKS + TWO.format(line="self.optimizer.apply([], [])"),
            PAIR,
            "has no attribute 'apply'. With several optimizers self.optimizer is None; they are "
            "self.front_optimizer and self.back_optimizer.",
        ),
        (
            NETWORKS + "    def train_step(self, data):\n        return super().train_step(data)",
            f"{PAIR}loss: mse\n",
            "With several optimizers self.optimizer is None; they are self.front_optimizer and",
        ),
        (
            NETWORKS + TWO.format(line="self.d_optimizer.apply([], [])"),
            PAIR,
            "'Own' object has no attribute 'd_optimizer'. Optimizers are named after their "
            "networks: self.front_optimizer and self.back_optimizer.",
        ),
        (
            NETWORKS + TWO.format(line="self.front_optimizer.apply([], [])"),
            PAIR.replace("front: sgd, ", ""),
            "'Own' object has no attribute 'front_optimizer'. The network 'front' has no "
            "optimizer in this experiment, so it is frozen.",
        ),
        (
            FITS.format(loss="self.loss(y, self(x))"),
            ONE,
            "self.loss is the experiment's `loss:`, and this experiment has none.",
        ),
        (
            "def __init__(self, model):\n    super().__init__(model=model)\n    self.networks = {}",
            ONE,
            "'networks' is reserved by Step: rename your attribute.",
        ),
        (
            "def __init__(self, model):\n    super().__init__(model=model)\n    self.model = None",
            ONE,
            "Own.__init__ replaces its network 'model' by nothing; keep a keras.Model there.",
        ),
        (
            NETWORKS + TWO.format(line="self.minimize(loss, tape, 'bakc')"),
            PAIR,
            "ValueError: minimize: there is no network 'bakc'; there are front, back",
        ),
        (
            NETWORKS
            + TWO.format(
                line="v = self.back.trainable_variables; "
                "self.front_optimizer.apply(tape.gradient(loss, v), v)"
            ),
            PAIR,
            "Unknown variable",
        ),
        (
            "def train_step(self, data):\n    raise SystemExit(3)",
            ONE,
            "raise SystemExit(3)\ntrain_step on the train split: SystemExit: 3\n",
        ),
        (
            "def train_step(self, data):\n    raise KeyboardInterrupt",
            ONE,
            "train_step on the train split: KeyboardInterrupt\n",
        ),
        (
            "def train_step(self, data):\n    return {'loss': tf.reduce_mean(self(data[0]))}\n\n"
            "def test_step(self, data):\n    raise KeyError('of the test')",
            f"{ONE.strip()[:-1]}, validation_split: 0.5}}\n".replace("\n\n", "\n"),
            "test_step on the validation split: KeyError: 'of the test'\n",
        ),
        (
            "def train_step(self, data):\n    return {'loss': self(data[0][:, :2])}",
            ONE,
            "train_step on the train split: ValueError: ",
        ),
    ],
)
def test_an_error_of_a_step_s_own_code_says_what_to_write(shell, body, experiment, text):
    shell.write(step(body), experiment)

    answer = shell.fitx("train", "own.yaml")

    assert (answer.code, answer.out) == (1, "")
    assert text in answer.err
    assert "own.py" in answer.err or "__init__ replaces" in text
    assert "bug in fitx" not in answer.err
    assert not shell.runs


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('return {"a": 1.0, "loss": self(data[0])}', "the step returned 'loss' as an array of"),
        ('logs = {"loss": self(data[0])}\n    return logs', "the step returned 'loss' as an array"),
        ('return {"loss": "small"}', "the step returned 'loss' as a string; return one number."),
        ("return [1.0]", "train_step returned list; it must return a dictionary of values."),
        ("return None", "train_step returned NoneType; it must return a dictionary of values."),
        ("return {3: 1.0}", "train_step returned the name 3; names must be non-empty strings."),
    ],
)
def test_what_a_step_may_not_return_is_shown_with_file_and_line(shell, line, text):
    shell.write(step(f"def train_step(self, data):\n    {line}"))

    answer = shell.fitx("train", "own.yaml")

    assert (answer.code, answer.out) == (1, "")
    first = line.partition("\n")[0]
    assert answer.err.startswith(f'  File "own.py", line 9, in train_step\n    {first}\n{text}')
    assert not shell.runs


def test_an_error_inside_a_layer_gives_its_reason_and_the_layer(shell):
    wrong = "model={name: sequential, layers: [{name: reshape, target_shape: [7]}]}"
    shell.write(step(RAW))

    own = shell.fitx("train", "own.yaml", wrong)
    shipped = shell.fitx("train", "own.yaml", "step=supervised", "loss=mse", "plugins=[]", wrong)

    for answer in (own, shipped):
        assert answer.code in (1, 2)
        assert "must be unchanged" in answer.err
        assert "Arguments received" not in answer.err


def test_a_run_is_measured_by_another_step_with_a_loss_that_its_own_does_not_take(shell):
    shell.write(step(RAW))
    assert shell.fitx("train", "own.yaml").code == 0

    without = shell.fitx("evaluate", "own", "--step", "supervised")
    given = shell.fitx("evaluate", "own", "--step", "supervised", "loss=mse", "metrics=[mae]")

    assert without.code == 2
    assert "step 'supervised' needs a loss; add for example loss=mse." in without.err
    assert given.code == 0, given.err
    assert "mae" in given.out
    assert "differs" not in given.err


def test_a_callback_that_says_that_it_is_stateless_is_not_warned_of(shell):
    shell.write(
        step(RAW)
        + "\n\n@callbacks.register\nclass Quiet(keras.callbacks.Callback):\n    stateless = True\n"
        + "\n    def on_epoch_end(self, epoch, logs=None): ...\n"
    )

    silent = shell.fitx("train", "own.yaml", "callbacks=[own]")
    source = shell.folder.joinpath("own.py").read_text()
    shell.folder.joinpath("own.py").write_text(source.replace("stateless = True", "every = 1"))
    warned = shell.fitx("train", "own.yaml", "callbacks=[own]")

    assert (silent.code, warned.code) == (0, 0)
    assert "get_state" not in silent.err
    assert "callback Quiet: it has no get_state and set_state" in warned.err


HEADED = """
    def __init__(self, front, back):
        super().__init__(front=front, back=back)
        self.head = keras.layers.Dense(1{frozen})
        self.head.build((None, 1))

    def train_step(self, data):
        x, y = data
        for name in ("front", "back"):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.head(self.back(self.front(x))) - y) ** 2)
            self.minimize(loss, tape, name)
        return {{"loss": loss}}
"""


def test_a_layer_of_the_step_that_no_optimizer_trains_is_refused_unless_it_is_frozen(shell):
    shell.write(step(HEADED.format(frozen="")), PAIR)
    refused = shell.fitx("train", "own.yaml")
    runs = len(shell.runs)
    alone = shell.fitx("train", "own.yaml", "~optimizers.front")
    shell.write(step(HEADED.format(frozen=", trainable=False")), PAIR)
    frozen = shell.fitx("train", "own.yaml")

    assert (refused.code, runs) == (2, 0)
    assert (
        "/kernel' in training, and no optimizer trains it: make its layer a network" in refused.err
    )
    assert (alone.code, frozen.code) == (0, 0), alone.err + frozen.err
    assert "front linear, 3 linear outputs, 12 parameters, frozen, back linear" in alone.err
    assert "frozen" not in frozen.err


def test_a_network_that_the_step_never_updates_is_named_in_the_summary(shell):
    body = NETWORKS + TWO.format(line='self.minimize(loss, tape, "back")')
    shell.write(step(body), PAIR)

    answer = shell.fitx("train", "own.yaml")

    assert answer.code == 0
    assert (
        "front linear, 3 linear outputs, 12 parameters, never updated by train_step" in answer.err
    )


def test_rows_that_nothing_measures_are_named_in_the_summary(shell):
    shell.write(
        step("def train_step(self, data):\n    return {'loss': tf.reduce_sum(self(data[0]))}")
    )

    answer = shell.fitx("train", "own.yaml", "data={name: digits}", "model=mlp")

    assert answer.code == 0, answer.err
    assert "without a test_step nothing measures test" in answer.err


AT_RUN_TIME = """
def train_step(self, data):
    x, y = data
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(self(x, training=True) ** 2)
    self.minimize(loss, tape, "model")
    tf.debugging.assert_less(loss, {trained})
    return {{"loss": loss}}

def test_step(self, data):
    loss = tf.reduce_mean(self(data[0]) ** 2)
    tf.debugging.assert_less(loss, {measured})
    return {{"loss": loss}}
"""
BREAKING = """

@callbacks.register
class Breaking(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        tf.debugging.assert_less(1.0, 0.0)
"""


@pytest.mark.parametrize("mode", ["plain", "fused"])
@pytest.mark.parametrize(
    ("trained", "measured", "words", "where"),
    [
        (-1.0, 1e9, (), "train_step on the train split: "),
        (1e9, -1.0, ("data.validation_split=0.5",), "test_step on the validation split: "),
        (1e9, 1e9, ("callbacks=[own]",), ""),
    ],
)
def test_an_error_of_a_running_step_names_the_method_and_the_split(
    shell, trained, measured, words, where, mode
):
    shell.write(step(AT_RUN_TIME.format(trained=trained, measured=measured)) + BREAKING)

    done = shell.fitx("train", "own.yaml", f"execution.mode={mode}", *words)

    assert done.code == 1
    assert f"\n{where}InvalidArgumentError: " in done.err
