"""Classes as people write them for `model.fit`; nothing here knows fitx."""

import keras
import tensorflow as tf
from keras import layers, ops


def body(inputs=6, outputs=1, units=5):
    return keras.Sequential(
        [keras.Input((inputs,)), layers.Dense(units, "tanh"), layers.Dense(outputs)]
    )


class LatentGAN(keras.Model):
    """Two networks and optimizers, a positional setting, numbers drawn by tf.random."""

    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")

    @property
    def metrics(self):
        return [self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn, smoothing: float = 0.1):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn
        self.smoothing = smoothing

    def train_step(self, data):
        real, _ = data
        noise = tf.random.normal((tf.shape(real)[0], self.latent_dim))
        with tf.GradientTape() as tape:
            fake = self.generator(noise)
            logits = self.discriminator(tf.concat([fake, real], axis=0))
            labels = tf.concat([tf.ones_like(fake[:, :1]), tf.zeros_like(real[:, :1])], axis=0)
            d_loss = self.loss_fn(labels * (1 - self.smoothing), logits)
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            logits = self.discriminator(self.generator(noise))
            g_loss = self.loss_fn(tf.zeros_like(logits), logits)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        self.g_loss_tracker.update_state(g_loss, sample_weight=tf.shape(real)[0])
        return {"d_loss": d_loss, "g_loss": self.g_loss_tracker.result()}

    def test_step(self, data):
        real, _ = data
        logits = self.discriminator(real)
        return {"real": tf.reduce_mean(logits)}


class Autoencoder(keras.Model):
    """Networks that it makes itself, unbuilt; one optimizer over both of them."""

    def __init__(self, width: int = 3):
        super().__init__()
        self.encoder = keras.Sequential([layers.Dense(width, "relu")], name="encoder")
        self.decoder = keras.Sequential([layers.Dense(6)], name="decoder")

    def call(self, x):
        return self.decoder(self.encoder(x))

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(self(x) - x))
        weights = self.encoder.trainable_variables + self.decoder.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss}

    def test_step(self, data):
        x, _ = data
        return {"loss": ops.mean(ops.square(self(x) - x))}


class OwnLayers(keras.Model):
    """A subclassed model with layers, dropout and batch statistics; only its loss is its own."""

    def __init__(self, units=4, rate=0.3):
        super().__init__()
        self.hidden = layers.Dense(units, "tanh")
        self.normalize = layers.BatchNormalization()
        self.drop = layers.Dropout(rate)
        self.head = layers.Dense(1)

    def call(self, x, training=False):
        return self.head(self.drop(self.normalize(self.hidden(x)), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.abs(y - y_pred))


class Averaging(keras.Model):
    """Takes Keras' own train step and keeps averages of the weights in plain variables."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.averages = [tf.Variable(v.value, trainable=False) for v in self.trainable_variables]
        self.steps = tf.Variable(0, dtype="int64", trainable=False)

    def train_step(self, data):
        logs = super().train_step(data)
        for average, variable in zip(self.averages, self.trainable_variables, strict=True):
            average.assign(0.9 * average + 0.1 * variable)
        self.steps.assign_add(1)
        return {**logs, "steps": tf.cast(self.steps, "float32")}

    def test_step(self, data):
        logs = super().test_step(data)
        return {**logs, "average": tf.reduce_sum(self.averages[0])}


class Distiller(keras.Model):
    """The example of keras.io: losses and weights are arguments of `compile`."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student = student
        self.teacher = teacher

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn = student_loss_fn
        self.distillation_loss_fn = distillation_loss_fn
        self.alpha = alpha

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        answer = self.teacher(x, training=False)
        loss = self.alpha * self.student_loss_fn(y, y_pred)
        return loss + (1 - self.alpha) * self.distillation_loss_fn(answer, y_pred)

    def call(self, x):
        return self.student(x)


class MeanTeacher(keras.Model):
    """A target network that is a clone of another and follows it."""

    def __init__(self, student):
        super().__init__()
        self.student = student
        self.target = keras.models.clone_model(student)
        self.target.set_weights(student.get_weights())
        self.target.trainable = False

    def call(self, x, training=False):
        return self.target(x, training=training)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self.student(x, training=True))
        weights = self.student.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        for old, new in zip(self.target.variables, self.student.variables, strict=True):
            old.assign(0.8 * old + 0.2 * new)
        return {"loss": loss}


class Accumulating(keras.Model):
    """Gathers gradients by hand and applies them every second step."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.gathered = [
            tf.Variable(tf.zeros(v.shape), trainable=False) for v in model.trainable_variables
        ]
        self.count = tf.Variable(0, trainable=False)

    def call(self, x):
        return self.model(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x))
        for total, one in zip(
            self.gathered, tape.gradient(loss, self.model.trainable_variables), strict=True
        ):
            total.assign_add(one)
        self.count.assign_add(1)
        tf.cond(self.count % 2 == 0, self.apply_gathered, lambda: None)
        return {"loss": loss}

    def apply_gathered(self):
        self.optimizer.apply_gradients(
            zip([g / 2 for g in self.gathered], self.model.trainable_variables, strict=True)
        )
        for total in self.gathered:
            total.assign(tf.zeros_like(total))


class Queue(keras.Model):
    """A queue of earlier outputs, two heads in a list, a rate drawn from a seed generator."""

    def __init__(self, backbone, heads: int = 2, seed: int = 0):
        super().__init__()
        self.backbone = backbone
        self.heads = [layers.Dense(1) for _ in range(heads)]
        self.queue = tf.Variable(tf.zeros((8, 1)), trainable=False)
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x):
        x = self.backbone(x)
        return sum(head(x) for head in self.heads)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x)
            loss = tf.reduce_mean((y - y_pred) ** 2) + 0.01 * tf.reduce_mean(self.queue)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.queue.assign(tf.concat([y_pred, self.queue], axis=0)[:8])
        return {"loss": loss, "drawn": keras.random.uniform((), seed=self.generator)}

    def test_step(self, data):
        x, y = data
        return {"loss": tf.reduce_mean((y - self(x)) ** 2), "queue": tf.reduce_sum(self.queue)}


class Second(keras.Model):
    """Trains the second of two networks alone, and averages its weights."""

    def __init__(self, first, second, rate=1.0):
        super().__init__()
        self.first, self.second, self.rate = first, second, rate

    def call(self, x):
        return self.first(x) + self.second(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x))
        weights = self.second.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss * self.rate}


class Ensemble(keras.Model):
    """Networks in a list that the constructor takes, and an optional one that is left out."""

    def __init__(self, members, teacher=None):
        super().__init__()
        self.members = members
        self.teacher = teacher

    def call(self, x):
        return sum(member(x) for member in self.members) / len(self.members)


class Resetting(keras.Model):
    """The names of tf.keras 2, with a metric that the class resets itself."""

    def __init__(self, inputs, outputs, power: float = 2.0):
        super().__init__(inputs=inputs, outputs=outputs)
        self.power = power
        self.largest = keras.metrics.Mean(name="largest")

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
        weights = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.compiled_metrics.update_state(y, y_pred)
        self.largest.update_state(tf.reduce_mean(tf.abs(y - y_pred) ** self.power))
        return {m.name: m.result() for m in self.metrics}

    def reset_metrics(self):
        super().reset_metrics()
        self.largest.reset_states()


def make_averaging(backbone, extra: int = 0):
    """A function in place of a class."""
    return Averaging(backbone.inputs[0], backbone.outputs[0])
