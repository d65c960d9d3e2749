"""Checks that the memory of the service does not grow while clients run jobs and read."""

import json
import shutil
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import psutil

from chaos.client import Client
from chaos.processes import Service
from chaos.workload import spec_of, write_corpus

SAMPLE_SECONDS = 5.0
WARM_SHARE = 0.25
"""Fraction of the time at the start that does not count, because caches are still filling."""
FOLLOWERS = 4
POLL_SECONDS = 0.5
DOWNLOAD_SECONDS = 3.0
MAX_MEGABYTES_AN_HOUR = 4.0
MAX_FILES_GROWN = 8
MAX_WAL_BYTES = 64 << 20


def soak(*, minutes: float) -> int:
    """Runs the test and prints a JSON report; returns 1 if a value exceeds its limit."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    write_corpus(folder / "data")
    service = Service(folder, mode="embedded", workers=1)
    watched = _Watched(service)
    ended = threading.Event()
    service.start()
    try:
        threads = _readers(service.url, ended)
        deadline = time.monotonic() + 60.0 * minutes
        while time.monotonic() < deadline:
            watched.sample()
            ended.wait(SAMPLE_SECONDS)
        ended.set()
        for thread in threads:
            thread.join(30.0)
    finally:
        ended.set()
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report = watched.report(minutes)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 1 if report["beyond_limit"] else 0


class _Watched:
    """Memory and files of each part over time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._began = time.monotonic()
        self._memory: dict[str, list[tuple[float, float]]] = {}
        self._files: dict[str, list[int]] = {}
        self._wal = 0

    def sample(self) -> None:
        """Records the memory and the files of each part now."""
        moment = time.monotonic() - self._began
        for name, part in self._service.parts.items():
            with suppress(psutil.Error):
                process = psutil.Process(part.pid or 0)
                if not part.pid:
                    continue
                self._memory.setdefault(name, []).append((moment, process.memory_info().rss / 1e6))
                self._files.setdefault(name, []).append(process.num_fds())
        with suppress(FileNotFoundError):
            wal = self._service.runs / "babylm.sqlite3-wal"
            self._wal = max(self._wal, wal.stat().st_size)

    def report(self, minutes: float) -> dict[str, object]:
        """Growth of memory and files after the warm-up, and the names of exceeded limits."""
        warm = 60.0 * minutes * WARM_SHARE
        slopes, grown = {}, {}
        for name, samples in self._memory.items():
            kept = [sample for sample in samples if sample[0] >= warm]
            slopes[name] = round(3600.0 * _slope(kept), 2)
            files = self._files[name][len(samples) - len(kept) :]
            grown[name] = files[-1] - files[0]
        beyond = [
            f"{name}: memory" for name, rise in slopes.items() if rise > MAX_MEGABYTES_AN_HOUR
        ]
        beyond += [f"{name}: files" for name, rise in grown.items() if rise > MAX_FILES_GROWN]
        beyond += ["database log"] if self._wal > MAX_WAL_BYTES else []
        return {
            "minutes": minutes,
            "rss_megabytes": {name: round(all_[-1][1], 1) for name, all_ in self._memory.items()},
            "rss_megabytes_an_hour": slopes,
            "files_grown": grown,
            "wal_bytes_max": self._wal,
            "starts": {name: part.starts for name, part in self._service.parts.items()},
            "beyond_limit": beyond,
        }


def _slope(samples: list[tuple[float, float]]) -> float:
    """Least-squares slope of (time, value) samples; 0 with fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def _readers(url: str, ended: threading.Event) -> list[threading.Thread]:
    """Starts threads that submit, follow, download and poll."""
    state: dict[str, str] = {}

    def submit() -> None:
        client, number = Client(url), 0
        while not ended.is_set():
            number += 1
            state["job"] = job_id = client.submit(f"soak-{number}", spec_of(number))
            while not ended.is_set() and client.job(job_id)["status"] != "succeeded":
                ended.wait(POLL_SECONDS)
            state["finished"] = job_id
        client.close()

    def follow() -> None:
        while not ended.is_set():
            with suppress(httpx.TransportError, KeyError), httpx.Client(base_url=url) as http:
                path = f"/v1/jobs/{state['job']}/events/stream"
                with http.stream("GET", path, timeout=20.0) as answer:
                    for _ in answer.iter_lines():
                        if ended.is_set():
                            break
            ended.wait(POLL_SECONDS)

    def read(path: str, seconds: float) -> None:
        while not ended.is_set():
            with suppress(httpx.TransportError, KeyError), httpx.Client(base_url=url) as http:
                http.get(path.format(**state), timeout=20.0)
            ended.wait(seconds)

    archive = "/v1/jobs/{finished}/checkpoints/last/archive"
    works = [
        threading.Thread(target=submit, daemon=True),
        *(threading.Thread(target=follow, daemon=True) for _ in range(FOLLOWERS)),
        threading.Thread(target=read, args=(archive, DOWNLOAD_SECONDS), daemon=True),
        threading.Thread(target=read, args=("/v1/jobs/{job}/metrics", POLL_SECONDS), daemon=True),
        threading.Thread(target=read, args=("/v1/jobs", POLL_SECONDS), daemon=True),
    ]
    for work in works:
        work.start()
    return works
