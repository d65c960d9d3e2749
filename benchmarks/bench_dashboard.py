"""Time to open large pages of the dashboard: a million points, five thousand jobs.

Uses a real API on a filled database, and a real Chromium with an empty cache. The time is measured
from the navigation until every chart, or every row of the page, is drawn.
"""

import os
import random
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2 as httpx

from benchmarks.report import figure, note, wanted
from core.process.program import python_command
from core.spec.job import JobSpec
from jobs import store
from jobs.database import Database, upgrade
from tests.dashboard.chromium import ARGUMENTS, CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("dashboard/million_points", "dashboard/jobs_5000")
RUNS = 3
NUM_STEPS = 100_000
NUM_JOBS = 5_000
METRICS = (
    *("train/loss", "train/learning_rate", "train/grad_norm", "memory/host_rss_bytes"),
    *("throughput/tokens_per_second", "throughput/words_per_second", "throughput/mfu"),
    *("memory/host_peak_bytes", "memory/device_allocated_bytes", "memory/device_peak_bytes"),
)
ALL_DRAWN = """() => {
  const charts = [...document.querySelectorAll('.chart:not(.none)')];
  return charts.length >= 6 && charts.every((chart) => Number(chart.dataset.points) > 0);
}"""
ROWS_DRAWN = "() => document.querySelectorAll('.jobs tbody tr').length === 50"
SCROLL = """() => new Promise((done) => {
  const frames = [];
  let before = performance.now();
  function step(now) {
    frames.push(now - before);
    before = now;
    scrollBy(0, 40);
    if (frames.length < 90) requestAnimationFrame(step);
    else done(frames.slice(1));
  }
  requestAnimationFrame(step);
})"""


def run(only: str | None = None) -> None:
    """Prints the figures."""
    names = wanted(NAMES, only)
    if CHROMIUM is None:
        for name in names:
            note(name, "not measured: Chromium is not installed (apt-get install chromium)")
        return
    from playwright.sync_api import sync_playwright  # the other benchmarks run without Playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in names:
            runs_dir = Path(folder) / name.replace("/", "-")
            runs_dir.mkdir()
            upgrade(f"sqlite:///{runs_dir / 'babylm.sqlite3'}")
            database = Database(f"sqlite:///{runs_dir / 'babylm.sqlite3'}")
            job_id = _fill_points(database) if name == NAMES[0] else fill_jobs(database)
            database.dispose()
            with serve_api(runs_dir) as url:
                if name == NAMES[0]:
                    _million_points(browser, f"{url}/#/jobs/{job_id}")
                else:
                    seconds = [_open(browser, f"{url}/", ROWS_DRAWN)[0] for _ in range(RUNS)]
                    figure(name, "first_paint_seconds", statistics.median(seconds), "s")
        browser.close()


def _million_points(browser: "Browser", address: str) -> None:
    opened = [_open(browser, address, ALL_DRAWN, then=SCROLL) for _ in range(RUNS)]
    figure(NAMES[0], "open_seconds", statistics.median(seconds for seconds, _ in opened), "s")
    frames = sorted(frame for _, frames in opened for frame in frames)
    figure(NAMES[0], "scroll_frame_p95_milliseconds", frames[int(len(frames) * 0.95)], "ms")


def _open(
    browser: "Browser", address: str, until: str, then: str | None = None
) -> tuple[float, list[float]]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(until, timeout=120_000)
    seconds = time.perf_counter() - begin
    frames = page.evaluate(then) if then else []
    page.wait_for_load_state("networkidle")  # so that the service is idle for the next measurement
    context.close()
    return seconds, frames


def _fill_points(database: Database) -> str:
    """Inserts one run with 100,000 steps and ten metrics."""
    noise, begin = random.Random(0), datetime(2026, 1, 1)
    with database.write() as session:
        job, _ = store.create_job(session, JobSpec.model_validate({"preset": "sample"}).resolve())
        rows = session.connection().exec_driver_sql
        steps = range(1, NUM_STEPS + 1)
        rows(
            "INSERT INTO metric_step (job_id, step, time, epoch, tokens_seen, words_seen) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    *(job.id, step, (begin + timedelta(seconds=step)).isoformat(sep=" ")),
                    *(step / 1e4, step * 2048, step * 1400),
                )
                for step in steps
            ],
        )
        for name in METRICS:
            rows(
                "INSERT INTO metric (job_id, name, step, value) VALUES (?, ?, ?, ?)",
                [(job.id, name, step, 3 + noise.random()) for step in steps],
            )
        job.status, job.step, job.max_steps, job.progress = "succeeded", NUM_STEPS, NUM_STEPS, 1.0
        job.latest_metrics = {"step": NUM_STEPS, "values": dict.fromkeys(METRICS, 3.0)}
        session.add(job)
    return job.id


def fill_jobs(database: Database) -> str:
    """Inserts 5,000 jobs. A third of them have ended, and each ended job has a loss curve."""
    now = datetime.now(UTC)
    with database.write() as session:
        rows = session.connection().exec_driver_sql
        for number in range(NUM_JOBS):
            spec = JobSpec.model_validate({"preset": "sample", "name": f"job {number}"}).resolve()
            job, _ = store.create_job(session, spec)
            if number % 3 == 0:
                job.status, job.step, job.max_steps, job.progress = "succeeded", 60, 60, 1.0
                job.latest_metrics = {"step": 60, "values": {"train/loss": 3.0}}
                session.add(job)
                session.flush()
                moment = now.replace(tzinfo=None).isoformat(sep=" ")
                rows(
                    "INSERT INTO metric_step (job_id, step, time, epoch, tokens_seen, words_seen) "
                    "VALUES (?, ?, ?, 0, 0, 0)",
                    [(job.id, step, moment) for step in range(60)],
                )
                rows(
                    "INSERT INTO metric (job_id, name, step, value) VALUES (?, 'train/loss', ?, ?)",
                    [(job.id, step, 6 - step / 20) for step in range(60)],
                )
    return job.id


@contextmanager
def serve_api(runs_dir: Path) -> Iterator[str]:
    """Runs only the API, without workers; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = os.environ | {
        "BABYLM_RUNS_DIR": str(runs_dir),
        "BABYLM_DATA_DIR": str(runs_dir / "data"),
        "BABYLM_PORT": str(port),
        "BABYLM_HOST": "127.0.0.1",
    }
    command = python_command("babylm.main", "api")
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{url}/healthz", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    raise RuntimeError(f"the API ended with {process.returncode}") from None
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)
