"""Trains the sample model with the whole service and checks that it learned."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from babylm.client import Client
from babylm.client.discovery import running_service
from babylm.client.wire import Event
from babylm.display import PlainDisplay, display_for_output
from babylm.errors import CommandError
from babylm.follow import watch_job
from babylm.output import print_json, print_note, printable
from babylm.processes import Program, Supervised, stop_all
from core.evaluation.tasks import FOLDER
from core.process.program import python_command
from core.sample import PAIRS

PERPLEXITY_RATIO = 5.0
"""Factor by which the validation perplexity must fall during the run."""
ACCURACY = 0.9
"""Accuracy required for each kind of minimal pair; a model that knows nothing has 0.5."""
CHANCE = 0.5
READY_SECONDS = 90.0
STOP_SECONDS = 20.0
PROMPTS = ("The dog", "Anna")


@dataclass
class Findings:
    """Results of the demo."""

    job: str = ""
    checkpoint: str = ""
    perplexities: list[float] = field(default_factory=list)
    first_loss: float | None = None
    accuracies: dict[str, float] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def faults(self) -> list[str]:
        """What the model did not learn; empty if it learned everything."""
        if len(self.perplexities) < 2:
            return ["fewer than two validations took place"]
        faults = []
        first, last = self.perplexities[0], self.perplexities[-1]
        if last * PERPLEXITY_RATIO > first:
            faults.append(
                f"validation perplexity went from {first:.1f} to {last:.1f}, but it must fall by a "
                f"factor of {PERPLEXITY_RATIO:g}"
            )
        if not self.accuracies:
            faults.append("no minimal pair was judged")
        for name, accuracy in self.accuracies.items():
            if accuracy < ACCURACY:
                faults.append(f"{name}: {accuracy:.1%} of the minimal pairs, below {ACCURACY:.0%}")
        return faults


def run_demo(folder: Path, *, as_json: bool = False) -> None:
    """Trains the preset `sample` with the whole service and prints what the model learned.

    Raises:
        CommandError: If the model did not learn enough, or a step failed.
    """
    folder = folder.resolve()
    data_dir = folder / "data"
    began = time.monotonic()
    say = print_note if as_json else _say
    say(f"sample corpus in {data_dir}")
    _run_module("core.sample", str(data_dir))
    findings = Findings()
    with _service(folder, data_dir) as url, Client(url) as client:
        say(f"service at {url}; its dashboard shows the same progress")
        _train(client, findings, as_json=as_json)
        checkpoint = client.job(findings.job).checkpoint()
        target = checkpoint.download(folder / "checkpoint", replace=True)
        findings.checkpoint = str(target)
        for prompt in PROMPTS:
            text = checkpoint.generate(prompt, max_new_tokens=24, temperature=0.7, seed=1)
            findings.texts.append(text)
        findings.accuracies = minimal_pairs(target, pairs_folder(data_dir))
    findings.seconds = time.monotonic() - began
    _report(findings, as_json=as_json)


def minimal_pairs(checkpoint: Path, pairs: Path) -> dict[str, float]:
    """For each phenomenon, the share of pairs in which the model prefers the correct sentence."""
    scores: dict[str, float] = json.loads(
        _run_module("core.sample.minimal_pairs", str(checkpoint), str(pairs))
    )
    return scores


def pairs_folder(data_dir: Path) -> Path:
    """The folder of the minimal pairs: one file of JSON lines for each phenomenon.

    `core.sample` writes them to this folder. A data folder that an earlier version wrote can have
    them in another folder.

    Raises:
        CommandError: If there are no such files below `data_dir`.
    """
    folder = data_dir / FOLDER / PAIRS
    if any(folder.glob("*.jsonl")):
        return folder
    files = sorted(data_dir.rglob("*.jsonl"))
    if not files:
        raise CommandError(f"no minimal pairs below {data_dir}")
    return files[0].parent


def _train(client: Client, findings: Findings, *, as_json: bool) -> None:
    job = client.submit(preset="sample")
    findings.job = job.id
    display = PlainDisplay(write=print_note) if as_json else display_for_output()
    watch_job(job, display=display, on_event=lambda event: _note(findings, event))
    job.refresh()
    if job.status != "succeeded":
        raise job.failure()


def _note(findings: Findings, event: Event) -> None:
    values = event["data"].get("values") if event["type"] == "metrics" else None
    if not values:
        return
    if findings.first_loss is None:
        findings.first_loss = values.get("train/loss")
    perplexity = values.get("validation/perplexity")
    if perplexity is not None:
        findings.perplexities.append(perplexity)


@contextmanager
def _service(folder: Path, data_dir: Path) -> Iterator[str]:
    """Runs the service until the block ends; yields its address.

    The service listens on a free port. All other settings except the folders have their defaults.
    """
    runs_dir = folder / "runs"
    keep = {name: value for name, value in os.environ.items() if not name.startswith("BABYLM_")}
    own = {
        "BABYLM_RUNS_DIR": str(runs_dir),
        "BABYLM_DATA_DIR": str(data_dir),
    }
    log = folder / "serve.log"
    log.unlink(missing_ok=True)
    # A guard process (`babylm.guard`) starts the service and ends it even if the demo is killed.
    service = Supervised(
        Program(
            "service",
            python_command("babylm.main", "serve", "--host", "127.0.0.1", "--port", "0"),
            environment=keep | own,
            log=log,
            grace_seconds=STOP_SECONDS,
            cwd=folder,  # so that the .env of the user's folder does not apply
        ),
        say=print_note,
    )
    folder.mkdir(parents=True, exist_ok=True)
    service.start()
    try:
        yield _await_service(service, runs_dir, log)
    finally:
        stop_all([service], in_a_hurry=lambda: False)


def _await_service(service: Supervised, runs_dir: Path, log: Path) -> str:
    """Waits until the service and one of its workers are ready."""
    from babylm.client import ServiceError, ServiceUnreachable

    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and not service.is_stopped:
        time.sleep(0.1)
        url = running_service(runs_dir)
        if url is None:
            continue
        try:
            with Client(url) as client:
                client.call("GET", "/readyz")
        except (ServiceError, ServiceUnreachable):
            continue
        return url
    raise CommandError("the service did not start", hint=f"See {log} and {runs_dir / 'logs'}.")


def _run_module(module: str, *arguments: str) -> str:
    """Runs a module of this project in its own process; returns what the module prints."""
    done = subprocess.run(
        python_command(module, *arguments), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CommandError(
            f"{' '.join([module, *arguments])} failed:\n{printable(done.stderr[-3000:])}"
        )
    return done.stdout


def _report(findings: Findings, *, as_json: bool) -> None:
    faults = findings.faults()
    if as_json:
        body: dict[str, Any] = {**asdict(findings), "faults": faults}  # any JSON value
        print_json(body)
    else:
        _print_findings(findings)
    if faults:
        raise CommandError("the model did not learn enough:\n  " + "\n  ".join(faults))


def _print_findings(findings: Findings) -> None:
    _say("")
    if findings.perplexities:
        first, last = findings.perplexities[0], findings.perplexities[-1]
        ratio = first / last
        _say(f"validation perplexity  {first:.1f} at first, {last:.2f} at the end ({ratio:.0f}x)")
    width = max([20, *map(len, findings.accuracies)])
    _say(f"{'minimal pairs':<{width + 2}} before  after")
    for name, accuracy in findings.accuracies.items():
        _say(f"  {name:<{width}} {CHANCE:>6.0%}  {accuracy:.1%}")
    _say("the model writes")
    for text in findings.texts:
        _say(f"  {printable(text)}")
    _say(f"checkpoint             {findings.checkpoint}")
    _say(f"the demo took {findings.seconds:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)
