"""Effect of readers on a run: steps per second of a job, alone and with readers that stall.

In `service/readers` the real service trains the same job to its end several times, in turn without
and with readers. The readers open 40 event streams, 20 downloads and 10 followed logs, and do not
read the answers. They are in this process and do nothing after their request, so the measured cost
is the cost of the service.
"""

import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from benchmarks.report import figure, note, wanted
from chaos.client import Client
from chaos.processes import Service
from chaos.workload import Spec, spec_of, write_corpus

NAMES = ("service/readers",)
STEPS = 1500
ROUNDS = 3
STREAMS, DOWNLOADS, FOLLOWERS = 40, 20, 10
POLL_SECONDS = 0.2


def run(only: str | None = None) -> None:
    for name in wanted(NAMES, only):
        _measure(name)


def _measure(name: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="readers-"))
    write_corpus(folder / "data")
    service = Service(folder, mode="embedded", workers=1)
    service.start()
    try:
        client = Client(service.url)
        finished = _train(client, "first")
        alone, read = [], []
        for number in range(ROUNDS):
            alone.append(_rate(client, _train(client, f"alone-{number}")))
            job_id = client.submit(f"read-{number}", _spec())
            with _readers(service.port, job_id, finished):
                _until_succeeded(client, job_id)
            read.append(_rate(client, job_id))
        client.close()
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)
    ratio = statistics.median(read) / statistics.median(alone)
    figure(name, "steps_per_second_alone", statistics.median(alone), "step/s")
    figure(
        name, "steps_per_second", statistics.median(read), "step/s", baseline="alone", ratio=ratio
    )
    note(name, f"alone {[round(x, 1) for x in alone]}, with readers {[round(x, 1) for x in read]}")


def _spec() -> Spec:
    spec = spec_of(2)
    spec["training"] |= {"max_steps": STEPS, "epochs": 1000, "save_steps": 500, "eval_steps": 500}
    return spec


def _train(client: Client, key: str) -> str:
    job_id = client.submit(key, _spec())
    _until_succeeded(client, job_id)
    return job_id


def _until_succeeded(client: Client, job_id: str) -> None:
    while not client.tend(job_id):
        time.sleep(POLL_SECONDS)
    assert not client.problems, client.problems


def _rate(client: Client, job_id: str) -> float:
    """Steps per second between the first and the last step, from the times of the run's events."""
    series = client.get(f"/v1/jobs/{job_id}/metrics?names=train/loss&max_points=10000")
    times = [datetime.fromisoformat(at) for at in series["series"]["train/loss"]["time"]]
    return (STEPS - 1) / (times[-1] - times[0]).total_seconds()


@contextmanager
def _readers(port: int, running: str, finished: str) -> Iterator[None]:
    """Opens connections that send a request and then do not read the answer."""
    paths = [
        *(f"/v1/jobs/{running}/events/stream" for _ in range(STREAMS)),
        *(f"/v1/jobs/{finished}/checkpoints/last/archive" for _ in range(DOWNLOADS)),
        *(f"/v1/jobs/{running}/logs?follow=true" for _ in range(FOLLOWERS)),
    ]
    with ExitStack() as stack:
        for path in paths:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stack.callback(connection.close)
            connection.connect(("127.0.0.1", port))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        yield
