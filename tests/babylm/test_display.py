from babylm.display import BarDisplay, PlainDisplay
from babylm.output import in_bytes, in_short, in_time
from babylm.watch import RunView


def progress(step: int, eta: float = 60.0) -> dict:
    data = {"stage": "train", "progress": step / 100, "stage_progress": step / 100}
    return {"type": "progress", "data": data | {"eta_seconds": eta, "step": step, "max_steps": 100}}


def metrics(step: int, **values: float) -> dict:
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return {"type": "metrics", "data": {"step": step, "values": named}}


FIGURES = {
    "train__loss": 3.25,
    "throughput__tokens_per_second": 12345.0,
    "memory__host_rss_bytes": 2**29,
}


def test_a_view_shows_the_progress_of_a_run():
    now = [0.0]
    view = RunView(clock=lambda: now[0])
    view.apply(progress(7))
    view.apply(metrics(8, **FIGURES))
    assert view.label() == "train, step 8/100"
    assert view.figures() == "loss 3.250  12.3k tokens/s  512 MiB"
    now[0] = 15.0
    assert view.eta_seconds == 45.0
    assert view.line().startswith("  7%  train, step 8/100  loss")


def test_a_validation_loss_of_an_older_step_is_shown_with_its_step():
    view = RunView()
    view.apply(metrics(0, validation__loss=7.63))
    assert view.figures() == "validation 7.630"
    view.apply(metrics(20, train__loss=5.0))
    assert view.figures() == "loss 5.000  validation 7.630 at step 0"


def test_a_warning_is_shown_with_its_level():
    view = RunView()
    for level, shown in (("info", "info"), ("warn", "warning"), ("error", "error")):
        data = {"code": "loss_diverged", "message": "the run has diverged", "level": level}
        assert view.apply({"type": "warning", "data": data}) == f"{shown}: the run has diverged"
    old = {"type": "warning", "data": {"code": "x", "message": "y"}}
    assert view.apply(old) == "warning: y"


def test_the_error_of_an_attempt_that_was_repeated_is_forgotten():
    view = RunView()
    view.apply({"type": "error", "data": {"code": "x", "message": "y", "hint": "z"}})
    assert view.error
    view.apply({"type": "status", "data": {"status": "running", "attempt": 2}})
    assert view.error is None
    assert not view.is_over


def test_a_log_gets_figures_now_and_then():
    now, lines = [0.0], []
    display = PlainDisplay(write=lines.append, clock=lambda: now[0])
    with display:
        for step in range(20):
            now[0] = float(step)
            display.show(progress(step))
    assert len(lines) == 4
    display.show(metrics(20, validation__loss=2.0))
    assert "step 20: validation loss 2.0000" in lines


def test_the_bar_draws_stage_step_and_figures(capsys):
    display = BarDisplay()
    with display:
        display.show(progress(50))
        display.show(metrics(50, **FIGURES))
    drawn = capsys.readouterr().out
    assert "train, step 50/100" in drawn
    assert "50%" in drawn
    assert "loss 3.250" in drawn


def test_figures_in_human_units():
    assert [in_bytes(size) for size in (0, 1023, 2048, 3 * 2**30)] == [
        "0 B",
        "1023 B",
        "2 KiB",
        "3.0 GiB",
    ]
    assert [in_time(seconds) for seconds in (0, 61, 3725)] == ["0:00", "1:01", "1:02:05"]
    assert [in_short(count) for count in (950, 12_345, 4.5e6)] == ["950", "12.3k", "4.5M"]


def test_the_unit_is_that_of_the_rounded_number():
    short = {9_999.6: "10.0k", 999_940: "999.9k", 999_990: "1.0M", 999_990_000: "1.0G"}
    assert {count: in_short(count) for count in short} == short
    sizes = {1024**2 - 1: "1 MiB", 1024**4 - 1: "1.0 TiB", 1024**3 * 1023.9: "1023.9 GiB"}
    assert {count: in_bytes(count) for count in sizes} == sizes
