"""The display of a run: on a terminal, in a file, and when stderr cannot be written."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from fitx.cli._output import one_line
from fitx.cli.display import NoDisplay, choose_display
from fitx.cli.display.epoch_table import EpochTable
from fitx.cli.display.formatting import (
    align_right,
    ascii_line,
    format_duration,
    format_estimate,
    format_speed,
    format_value,
    shorten_middle,
)
from fitx.cli.display.live_lines import draw_values
from fitx.cli.display.speed import Speed
from fitx.cli.display.terminal import TerminalDisplay
from fitx.cli.display.text_lines import TextDisplay
from fitx.stages import Stage
from fitx.training.display_interface import Plan

DIGITS = Plan(
    title="digits",
    run="runs/digits/20250801T101500Z-ab12",
    device="CPU (2 threads): TensorFlow sees no GPU",
    epochs=3,
    steps=23,
    summary="supervised: model mlp, 5,322 parameters; adam; 1,437 examples, 23 steps an epoch",
)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self):
        return self.now


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@dataclass
class Screen:
    """A terminal that understands line feeds, carriage returns, cursor up and erase below."""

    rows: list = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def feed(self, text):
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.|\n", text):
            self._take(token)
        return self

    def _take(self, token):
        if token == "\n":
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row + 1 - len(self.rows))
        elif token == "\r":
            self.column = 0
        elif token == "\x1b[J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif token.startswith("\x1b"):
            self.row -= int(token[2:-1]) if token.endswith("A") else 0
        else:
            before = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = before[: self.column] + token + before[self.column + 1 :]
            self.column += 1

    @property
    def text(self):
        return "\n".join(row.rstrip() for row in self.rows)


def terminal(width=80, height=24, clock=None, plan=DIGITS, **console):
    stream = Tty()
    made = Console(file=stream, force_terminal=True, width=width, height=height, **console)
    display = TerminalDisplay(made, clock or Clock())
    display.begin(plan)
    return display, stream


def plain(clock=None, plan=DIGITS):
    stream = io.StringIO()
    display = TextDisplay(stream, clock or Clock())
    display.begin(plan)
    stream.seek(0)
    stream.truncate()
    return display, stream


def no_values():
    raise AssertionError("values() waits for the device and was called though nothing is due")


# Wording


def test_values_have_four_significant_digits_and_at_most_nine_characters():
    numbers = [0.5, 0.12345, 12.345, 1234.4, 98765.0, 1.2344e-7, 3e38, 0.0, -2.0, 0.00012344]
    assert [format_value(number) for number in numbers] == [
        "0.5000",
        "0.1235",
        "12.35",
        "1234",
        "9.876e+04",
        "1.234e-07",
        "3.000e+38",
        "0.000",
        "-2.000",
        "0.0001234",
    ]


def test_values_that_are_no_numbers_are_named_as_such():
    assert [format_value(float(text)) for text in ("nan", "inf", "-inf")] == ["nan", "inf", "-inf"]


def test_durations_keep_two_units_at_most():
    seconds = [0.0032, 0.12, 9.999, 12.34, 59.99, 190, 3599.9, 3725, 190_000]
    assert [format_duration(each) for each in seconds] == [
        "3.2ms",
        "0.12s",
        "10.0s",
        "12.3s",
        "1m00s",
        "3m10s",
        "1h00m",
        "1h02m",
        "2d04h",
    ]
    assert [format_estimate(each) for each in (0.2, 12.3, 190)] == ["0s", "12s", "3m10s"]


def test_rates_turn_into_seconds_per_step_when_steps_are_slow():
    rates = [12345.6, 123.4, 12.3, 1.5, 0.4, 0.01]
    assert [format_speed(each) for each in rates] == [
        "12,346 steps/s",
        "123 steps/s",
        "12 steps/s",
        "1.5 steps/s",
        "2.50s/step",
        "1m40s/step",
    ]


def test_names_show_what_could_move_a_cursor_as_escapes():
    assert one_line("a\x1b[31mb\nc\td\x00\x9b\u202ee\r") == r"a\x1b[31mb c d\x00\x9b\u202ee "
    assert ascii_line("Verlust µ") == "Verlust \\xb5"


def test_names_are_cut_in_the_middle_by_cells_not_by_characters():
    assert shorten_middle("sparse_categorical_accuracy", 16) == "sparse_c…ccuracy"
    assert shorten_middle("损失函数损失函数", 8) == "损失… 数"
    assert [shorten_middle("loss", width) for width in (-1, 0, 1, 2)] == ["", "", "…", "l…"]
    assert align_right("损失", 6) == "  损失"


# Pace


def test_the_rate_leaves_out_compilation_and_steps_done_before_a_resume():
    speed = Speed(epochs=2, steps=1000)
    speed.epoch_begin(1, now=0.0)
    speed.reach(500, now=60.0)
    assert speed.steps_per_second is None and speed.run_seconds_left is None
    speed.reach(600, now=61.0)
    assert speed.steps_per_second == pytest.approx(100)
    assert speed.epoch_seconds_left == pytest.approx(4)
    assert speed.run_seconds_left == pytest.approx(14)


def test_the_rate_follows_a_change_of_speed():
    speed = Speed(epochs=1, steps=100_000)
    speed.epoch_begin(1, now=0.0)
    for second in range(60):
        speed.reach(1 + 100 * second, now=float(second))
    for second in range(20):
        speed.reach(6000 + 10 * second, now=60.0 + second)
    assert speed.steps_per_second == pytest.approx(10, rel=0.25)


def test_unknown_steps_and_zero_epochs_have_no_estimate():
    speed = Speed(epochs=0, steps=0)
    speed.epoch_begin(1, now=0.0)
    speed.reach(1, now=1.0)
    speed.reach(2, now=2.0)
    assert speed.epoch_fraction == speed.run_fraction == 0.0
    assert speed.epoch_seconds_left is None and speed.run_seconds_left is None


# Plain lines


def test_plain_lines_begin_with_what_is_about_to_run():
    stream = io.StringIO()
    TextDisplay(stream, Clock()).begin(DIGITS)
    assert stream.getvalue() == (
        "digits\n"
        "  supervised: model mlp, 5,322 parameters; adam; 1,437 examples, 23 steps an epoch\n"
        "  device  CPU (2 threads): TensorFlow sees no GPU\n"
        "  run     runs/digits/20250801T101500Z-ab12\n"
    )


def test_a_plain_epoch_is_one_line():
    display, stream = plain()
    display.epoch_begin(3)
    display.epoch_end(3, {"loss": 0.1234, "val_loss": 0.2345}, 0.12)
    assert stream.getvalue() == "epoch 3/3  23 steps  0.12s  loss 0.1234  val_loss 0.2345\n"


def test_a_plain_epoch_of_unknown_steps_does_not_count_them():
    display, stream = plain(plan=Plan("x", "", "CPU", 0, 0, "s"))
    display.epoch_begin(1)
    display.step(1, no_values)
    display.epoch_end(1, {}, 2.0)
    display.end()
    assert stream.getvalue() == "epoch 1/0  2.00s\n"


def test_within_an_epoch_a_plain_line_comes_at_most_every_30_seconds():
    clock = Clock(0.0)
    display, stream = plain(clock, Plan("x", "", "CPU", 10, 2300, "s"))
    display.epoch_begin(1)
    clock.now = 10.0  # compilation
    for step in range(1, 1001):
        display.step(step, lambda: {"loss": 0.5})
        clock.now += 0.125
    assert stream.getvalue() == (
        "epoch 1/10  step 161/2300  7%  8.0 steps/s  ETA 4m27s  loss 0.5000\n"
        "epoch 1/10  step 401/2300  17%  8.0 steps/s  ETA 3m57s  loss 0.5000\n"
        "epoch 1/10  step 641/2300  27%  8.0 steps/s  ETA 3m27s  loss 0.5000\n"
        "epoch 1/10  step 881/2300  38%  8.0 steps/s  ETA 2m57s  loss 0.5000\n"
    )


def test_plain_values_are_asked_for_only_when_a_line_is_due():
    clock = Clock(0.0)
    display, _ = plain(clock)
    display.epoch_begin(1)
    for step in range(1, 24):
        display.step(step, no_values)
        clock.now += 1.0


def test_a_long_plain_validation_is_told_apart_from_an_evaluation():
    clock = Clock(0.0)
    display, stream = plain(clock)
    display.epoch_begin(1)
    for step in range(1, 9):
        clock.now += 10.0
        display.validation_step(step, 8)
    display.epoch_end(1, {"loss": 1.0}, 80.0)
    clock.now += 40.0
    display.validation_step(1, 0)
    assert stream.getvalue() == (
        "epoch 1/3  validation 3/8  37%\n"
        "epoch 1/3  validation 6/8  75%\n"
        "epoch 1/3  23 steps  1m20s  loss 1.000\n"
        "evaluation 1\n"
    )


def test_plain_lines_hold_printable_ascii_only():
    clock = Clock(0.0)
    display, stream = plain(clock, Plan("naïve\x1b[2J", "run\r", "d\x07", 2, 5, "a\nb"))
    display.begin(Plan("naïve\x1b[2J", "run\r", "d\x07", 2, 5, "a\nb"))
    display.epoch_begin(1)
    clock.now = 31.0
    display.step(1, lambda: {"[red]损失\x1b[0m\n": 1.0})
    display.step(2, lambda: {"[red]损失\x1b[0m\n": 1.0})
    display.epoch_end(1, {"\x1b]0;title\x07": float("nan")}, 1.0)
    display.note("two\nlines")
    assert re.fullmatch(r"[\x20-\x7e\n]+", stream.getvalue())
    assert stream.getvalue().count("\n") == 7


class Failing(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error
        self.writes = 0

    def write(self, text):
        self.writes += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), ValueError("closed")])
def test_a_stream_that_fails_silences_plain_lines_and_nothing_else(error):
    stream = Failing(error)
    display = TextDisplay(stream, Clock())
    display.begin(DIGITS)
    display.note("still training")
    display.epoch_end(1, {"loss": 1.0}, 1.0)
    display.end()
    assert stream.writes == 1


# Terminal


def test_a_terminal_shows_bars_speed_and_values():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    with Stage("preparing the first step"):
        display.epoch_begin(1)
        assert "preparing the first step" in Screen().feed(stream.getvalue()).text
    clock.now = 10.0
    display.step(1, lambda: {"loss": 2.0})
    clock.now = 11.0
    display.step(12, lambda: {"loss": 1.0, "accuracy": 0.5})
    assert Screen().feed(stream.getvalue()).text == "\n".join(
        [
            "digits",
            "  supervised: model mlp, 5,322 parameters; adam; 1,437 examples, 23 steps an",
            "  epoch",
            "  device  CPU (2 threads): TensorFlow sees no GPU",
            "  run     runs/digits/20250801T101500Z-ab12",
            "",
            "",
            "epoch    1/3  ━━━━━━━─────────────────────────────────   17%  ETA 5s",
            "step   12/23  ━━━━━━━━━━━━━━━━━━━━━───────────────────   52%  ETA 1s",
            "11 steps/s  loss 1.000  accuracy 0.5000",
        ]
    )
    display.end()


def test_a_terminal_keeps_one_line_per_epoch_in_columns_and_nothing_else():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    for epoch in (1, 2, 3):
        display.epoch_begin(epoch)
        display.step(1, lambda: {"loss": 1.0})
        clock.now += 1.0
        display.validation_step(1, 2)
        values = {"loss": 1 / epoch, "accuracy": 0.5, "val_loss": 2 / epoch, "val_accuracy": 0.25}
        display.epoch_end(epoch, values, 1.0)
    display.note("stopped early: [b]val_loss[/b]")
    display.end()
    assert Screen().feed(stream.getvalue()).text.split("\n")[6:] == [
        "epoch    time       loss        val   accuracy        val",
        "  1/3   1.00s      1.000      2.000     0.5000     0.2500",
        "  2/3   1.00s     0.5000      1.000     0.5000     0.2500",
        "  3/3   1.00s     0.3333     0.6667     0.5000     0.2500",
        "stopped early: [b]val_loss[/b]",
        "",
    ]


def test_a_terminal_is_redrawn_at_most_ten_times_a_second():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    writes = []
    stream.write = lambda text: writes.append(clock.now)
    for epoch in range(1, 401):
        display.epoch_begin(epoch)
        for step in range(1, 24):
            display.step(step, lambda: {"loss": 1.0})
            display.validation_step(step, 23)
            clock.now += 0.0005
        display.epoch_end(epoch, {"loss": 1.0}, 0.0115)
    seconds = clock.now
    assert 4 * seconds < len(set(writes)) <= 10 * seconds + 2
    display.end()


def test_a_slow_terminal_is_redrawn_less_often():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    calls = []

    def write(text):
        clock.now += 0.1

    stream.write = write
    display.epoch_begin(1)
    began = clock.now
    while clock.now < began + 60:
        display.step(1, lambda: calls.append(1) or {})
        clock.now += 0.01
    assert 9 <= len(calls) <= 13
    display.end()


def test_a_terminal_held_for_an_hour_is_redrawn_again_soon():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    held = stream.write

    def write(text):
        clock.now += 3600.0

    stream.write = write
    display.epoch_begin(1)
    stream.write = held
    clock.now += 5.0
    display.step(1, lambda: {"loss": 0.5})
    assert "loss" in stream.getvalue()
    display.end()


def test_terminal_values_are_asked_for_only_when_they_are_drawn():
    display, _ = terminal(clock=Clock(0.0))
    display.epoch_begin(1)
    for step in range(1, 1000):
        display.step(step, no_values)
    display.end()


def test_an_error_of_the_device_is_not_swallowed():
    display, _ = terminal()
    with pytest.raises(OSError, match="device lost"):
        display.step(1, lambda: (_ for _ in ()).throw(OSError("device lost")))
    display.end()


def test_epochs_that_are_very_short_lose_no_line():
    display, stream = terminal(clock=Clock(0.0), plan=Plan("x", "", "CPU", 500, 1, "s"))
    for epoch in range(1, 501):
        display.epoch_begin(epoch)
        display.epoch_end(epoch, {"loss": 1.0}, 0.003)
    display.end()
    lines = Screen().feed(stream.getvalue()).text.split("\n")
    assert [line.split()[0] for line in lines if "/500" in line] == [
        f"{epoch}/500" for epoch in range(1, 501)
    ]


def test_what_others_write_to_the_terminal_stays_readable():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    display.epoch_begin(1)
    stream.write("tf.print says 1\n")
    clock.now = 1.0
    display.step(1, lambda: {"loss": 1.0})
    clock.now = 23.0
    display.epoch_end(1, {"loss": 1.0}, 1.0)
    lines = Screen().feed(stream.getvalue()).text.split("\n")
    assert lines[6] == "tf.print says 1"
    assert lines[9] == ""
    assert lines[10] == "epoch    1/3  ━━━━━━━━━━━━━───────────────────────────   33%  ETA 46s"
    display.end()


def test_prints_of_user_code_appear_above_the_bars(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    stream = Tty()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    display = choose_display(quiet=False)
    display.begin(DIGITS)
    with Stage("preparing the first step"):
        display.epoch_begin(1)
    print("[b]hello[/b]")
    print("warned", file=sys.stderr)
    lines = Screen().feed(stream.getvalue()).text.split("\n")
    assert lines[-6:-3] == ["[b]hello[/b]", "warned", ""]
    display.end()
    assert sys.stdout is stream and sys.stderr is stream


def test_results_that_go_to_a_file_stay_out_of_the_terminal(monkeypatch):
    results = io.StringIO()
    monkeypatch.setattr(sys, "stdout", results)
    display, stream = terminal()
    print("result")
    display.end()
    assert results.getvalue() == "result\n"
    assert "result" not in stream.getvalue()


@pytest.mark.parametrize("width", [1, 10, 20, 40])
def test_a_narrow_terminal_is_never_written_beyond_its_edge(width):
    clock = Clock(0.0)
    display, stream = terminal(width=width, clock=clock, plan=Plan("x", "", "CPU", 10, 9999, "s"))
    display.epoch_begin(1)
    clock.now = 1.0
    display.step(1, lambda: {"loss": 1.0})
    clock.now = 2.0
    display.step(2, lambda: {"sparse_categorical_accuracy": 1.0, "loss": 1e-9})
    assert max(map(len, Screen().feed(stream.getvalue()).rows)) <= width
    display.end()


NUMBERS = {"loss": 0.00012345, "sparse_categorical_accuracy": 0.98765, "f1": 123456.0}


@pytest.mark.parametrize("width", [*range(20, 50), 60, 80, 99, 120])
def test_a_number_is_whole_or_left_out_whatever_the_width(width):
    clock = Clock(0.0)
    display, stream = terminal(width=width, clock=clock, plan=Plan("x", "", "CPU", 9999, 9999, "s"))
    display.epoch_begin(7)
    clock.now = 1.0
    display.step(1, lambda: NUMBERS)
    clock.now = 4.0
    display.step(3567, lambda: NUMBERS)
    seen = [Screen().feed(stream.getvalue()).text]
    clock.now = 5.0
    display.validation_step(2222, 3333)
    seen += [Screen().feed(stream.getvalue()).text]
    clock.now = 6.0
    values = {**NUMBERS, **{f"val_{name}": number for name, number in NUMBERS.items()}}
    display.epoch_end(7, values, 12.5)
    seen += [Screen().feed(stream.getvalue()).text]
    display.end()
    whole = {"0.0001234", "0.0001235", "0.9877", "1.235e+05", "7/9999", "1/9999", "3567/9999"}
    whole |= {"9999/9999", "2222/3333", "0%", "36%", "67%", "100%", "12.5s"}
    numbers = {word for word in " ".join(seen).split() if word[0].isdigit()}
    times = {word for word in numbers if re.fullmatch(r"\d+[smhd](\d\d[smh])?|[\d,]+", word)}
    assert numbers - times <= whole
    assert "steps/s" in seen[0] and times


def test_the_speed_and_names_are_dim_and_the_values_bold():
    (line,) = draw_values("12 steps/s", {"loss": 0.5}, 80)
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert (line.style, styles) == ("", {"12 steps/s": "dim", "loss": "dim", "0.5000": "bold"})


def test_forty_columns_show_every_figure():
    clock = Clock(0.0)
    display, stream = terminal(width=40, clock=clock)
    display.epoch_begin(1)
    clock.now = 1.0
    display.step(1, lambda: {"loss": 1.0})
    clock.now = 2.0
    display.step(12, lambda: {"loss": 1.0, "sparse_categorical_accuracy": 1.0})
    clock.now = 3.0
    display.epoch_end(1, {"loss": 1.0, "accuracy": 0.5, "val_loss": 2.0, "val_accuracy": 0.2}, 1.0)
    assert Screen().feed(stream.getvalue()).text.split("\n")[-7:] == [
        "epoch    time       loss        val …",
        "  1/3   1.00s      1.000      2.000 …",
        "",
        "epoch    1/3  ━━─────   33%  ETA 4s",
        "step   23/23  ━━━━━━━  100%  ETA 0s",
        "11 steps/s  loss 1.000",
        "sparse_categorical_accuracy 1.000",
    ]
    display.end()


def test_a_low_terminal_is_not_scrolled_by_its_own_bars():
    clock = Clock(0.0)
    display, stream = terminal(height=3, clock=clock)
    display.epoch_begin(1)
    stream.seek(0)
    stream.truncate()
    clock.now = 1.0
    display.step(1, lambda: {f"metric_{number}": 1.0 for number in range(50)})
    assert stream.getvalue().count("\n") == 2
    display.end()


def test_many_values_end_in_an_ellipsis():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    many = {f"head_{number}_mean_squared_error": 1.0 for number in range(30)}
    display.epoch_begin(1)
    clock.now = 1.0
    display.step(1, lambda: many)
    display.epoch_end(1, many, 1.0)
    lines = Screen().feed(stream.getvalue()).text.split("\n")
    assert lines[-1].endswith(" …") and len(lines[-1]) <= 80
    assert [line[-2:] for line in lines[6:8]] == [" …", " …"]
    display.end()


def test_names_of_metrics_are_neither_markup_nor_escapes():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    evil = {"[bold red]a[/]": 1.0, "\x1b[2Jb": 2.0}
    display.epoch_begin(1)
    clock.now = 1.0
    display.step(1, lambda: evil)
    assert r"[bold red]a[/] 1.000  \x1b[2Jb 2.000" in Screen().feed(stream.getvalue()).text
    display.epoch_end(1, evil, 1.0)
    assert "\x1b[2J" not in stream.getvalue()
    assert r"[bold red]a[/]   \x1b[2Jb" in Screen().feed(stream.getvalue()).text
    display.end()


def test_columns_are_named_again_when_values_join_them():
    table = EpochTable(2)
    first = table.rows(1, {"loss": 1.0}, 1.0, 80)
    second = table.rows(2, {"loss": 0.5, "val_loss": 0.7}, 1.0, 80)
    third = table.rows(3, {"loss": 0.4}, 1.0, 80)
    assert [row.plain for row in (*first, *second, *third)] == [
        "epoch    time       loss",
        "  1/2   1.00s      1.000",
        "epoch    time       loss        val",
        "  2/2   1.00s     0.5000     0.7000",
        "  3/2   1.00s     0.4000           ",
    ]


def test_an_evaluation_shows_its_own_bar():
    display, stream = terminal(plan=Plan("x", "", "CPU", 0, 0, "s"))
    display.validation_step(4, 8)
    text = Screen().feed(stream.getvalue()).text
    assert text.endswith("eval   4/8  ━━━━━━━━━━━━━━━━━━━━────────────────────   50%")
    assert "run" not in text
    display.end()
    display.end()


def test_unknown_steps_are_counted_without_a_bar():
    display, stream = terminal(plan=Plan("x", "", "CPU", 1, 0, "s"))
    with Stage("preparing the first step"):
        display.epoch_begin(1)
        assert "step   0\n" in Screen().feed(stream.getvalue()).text
    display.end()


def test_zero_epochs_leave_the_plan_alone():
    display, stream = terminal(plan=Plan("x", "runs/x", "CPU", 0, 0, "s"))
    display.end()
    expected = "x\n  s\n  device  CPU\n  run     runs/x\n\n"
    assert Screen().feed(stream.getvalue()).text == expected


def test_a_terminal_that_goes_away_silences_the_display_and_gives_the_streams_back():
    clock = Clock(0.0)
    display, stream = terminal(clock=clock)
    before = sys.stdout
    stream.write = Failing(OSError(5, "gone")).write
    for epoch in (1, 2):
        display.epoch_begin(epoch)
        clock.now += 1.0
        display.step(1, lambda: {"loss": 1.0})
        display.epoch_end(epoch, {"loss": 1.0}, 1.0)
    assert sys.stdout is before
    display.end()


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    display, stream = terminal()
    display.epoch_begin(1)
    display.step(1, lambda: {"loss": 1.0})
    display.end()
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|4[0-9]|9[0-9])m", stream.getvalue())


def test_the_cursor_is_never_hidden():
    display, stream = terminal()
    display.epoch_begin(1)
    display.end()
    assert "\x1b[?25" not in stream.getvalue()


INTERRUPTED = """
import signal, sys, time
from fitx.cli.display import NoDisplay, choose_display
from fitx.training.display_interface import Plan
from fitx.stages import Stage
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(True))
display = choose_display(quiet=False)
display.begin(Plan("digits", "", "CPU", 2, 10, "s"))
stage = Stage("preparing the first step")
display.epoch_begin(1)
display.step(1, lambda: {"loss": 1.0})
while not asked:
    time.sleep(0.01)
display.end()
print("exit 130", file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_an_interrupt_leaves_a_clean_terminal():
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "CI": "", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        screen = Screen()
        deadline = time.monotonic() + 20
        while "preparing the first step" not in screen.text and time.monotonic() < deadline:
            screen.feed(os.read(ours, 65536).decode())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        screen.feed(os.read(ours, 65536).decode())
    os.close(ours)
    assert screen.text == "digits\n  s\n  device  CPU\n\nexit 130\n"


# Choice


def test_quiet_shows_nothing(capsys):
    display = choose_display(quiet=True)
    display.begin(DIGITS)
    display.epoch_begin(1)
    display.step(1, no_values)
    display.validation_step(1, 1)
    display.epoch_end(1, {"loss": 1.0}, 1.0)
    display.note("x")
    display.end()
    assert isinstance(display, NoDisplay)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, TerminalDisplay),
        ({"CI": "false"}, TerminalDisplay),
        ({"CI": "0"}, TerminalDisplay),
        ({"CI": "true"}, TextDisplay),
        ({"TERM": "dumb"}, TextDisplay),
    ],
)
def test_a_terminal_gets_bars_unless_it_is_dumb_or_ci(monkeypatch, variables, expected):
    monkeypatch.setattr(sys, "stderr", Tty())
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert type(choose_display(quiet=False)) is expected


def test_a_pipe_and_an_old_encoding_get_plain_lines(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(choose_display(quiet=False), TextDisplay)
    latin = Tty()
    latin.encoding = "latin-1"
    monkeypatch.setattr(sys, "stderr", latin)
    assert isinstance(choose_display(quiet=False), TextDisplay)


def test_a_closed_stderr_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(choose_display(quiet=False), NoDisplay)


def test_plain_lines_do_not_pay_for_rich_or_tensorflow():
    code = (
        "import sys; from fitx.cli.display import choose_display; choose_display(False);"
        "print([name for name in ('rich', 'tensorflow', 'keras', 'numpy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_full_or_closed_stderr_does_not_change_the_exit_code():
    code = (
        "from fitx.cli.display import choose_display;"
        "from fitx.training.display_interface import Plan;"
        "display = choose_display(False); display.begin(Plan('t', '', 'd', 1, 1, 's'));"
        "display.note('x'); display.end(); print('trained')"
    )
    command = [sys.executable, "-c", code]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True)
    assert (result.returncode, result.stdout) == (0, "trained\n")
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    assert (result.returncode, result.stdout) == (0, "trained\n")
