"""Workers on two hosts with a shared runs folder and Postgres; one host dies, the other continues.

Each host is simulated by namespaces. It has its own host name, boot id, processes and temporary
folder, and its own network link to the database. Namespaces need root; the test is skipped if they
are not permitted.
"""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from chaos.postgres import temporary_server
from core.process.program import python_command
from core.sample import write_sample
from core.spec.job import JobSpec
from jobs.database import Database
from jobs.history import events_after
from jobs.states import FINAL
from jobs.store import create_job, get_job
from jobs.tables import Job
from jobs.workers import live_workers
from tests.postgres import postgres_database
from tests.system.service import tiny_spec
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        "BABYLM_TRY_HOSTS" not in os.environ, reason="takes minutes; needs BABYLM_TRY_HOSTS=1"
    ),
]

START = """
mount --bind "$HOST_FOLDER/boot_id" /proc/sys/kernel/random/boot_id
hostname "$HOST_NAME"
exec "$@"
"""
STEPS = 1000
NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")


class Host:
    """A host with one link; the other end of the link has the address `gateway`."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"babylm{os.getpid()}-{number}"
        self.link = f"b{os.getpid()}x{number}"[-13:]
        network = f"198.18.{2 * (os.getpid() % 120) + number}"
        self.gateway, self.address = f"{network}.1", f"{network}.2"
        self.folder = folder / self.name
        self.folder.mkdir()
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self.process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        """Creates the namespace and its link."""
        inside = ("ip", "-n", self.name)
        call("ip", "netns", "add", self.name)
        call(
            *("ip", "link", "add", f"{self.link}r", "type", "veth"),
            *("peer", "name", self.link, "netns", self.name),
        )
        call("ip", "address", "add", f"{self.gateway}/24", "dev", f"{self.link}r")
        call("ip", "link", "set", f"{self.link}r", "up")
        call(*inside, "address", "add", f"{self.address}/24", "dev", self.link)
        call(*inside, "link", "set", self.link, "up")
        call(*inside, "link", "set", "lo", "up")

    def command(self, *command: str) -> list[str]:
        """The command that runs a program on this host."""
        inside = ("ip", "netns", "exec", self.name, "unshare", *NAMESPACES)
        return [*inside, "sh", "-euc", START, "sh", *command]

    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("BABYLM_")}
        folder = str(self.folder)
        return kept | {
            "HOST_NAME": self.name,
            "HOST_FOLDER": folder,
            "HOME": folder,
            "TMPDIR": folder,
        }

    def start_worker(self, database_url: str, data: Path, runs: Path) -> None:
        url = make_url(database_url).set(host=self.gateway)
        environment = self.environment() | {
            "BABYLM_DATABASE_URL": url.render_as_string(hide_password=False),
            "BABYLM_DATA_DIR": str(data),
            "BABYLM_RUNS_DIR": str(runs),
        }
        with (self.folder / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command(*python_command("worker", "--queue", "train")),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def die(self) -> None:
        """Kills all processes of the host at once, as a power failure does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        self.die()
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def connected_hosts(folder: Path) -> Iterator[list[Host]]:
    """Two hosts; skips the test if namespaces are not permitted."""
    hosts = [Host(number, folder) for number in range(2)]
    with ExitStack() as stack:
        try:
            for host in hosts:
                stack.callback(host.remove)
                host.connect()
                subprocess.run(
                    host.command("true"),
                    env=host.environment(),
                    check=True,
                    capture_output=True,
                    text=True,
                )
        except FileNotFoundError as error:
            pytest.skip(f"namespaces: {error.filename} is not installed")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"namespaces are not permitted: {error.stderr.strip()}")
        yield hosts


def test_a_job_of_a_host_that_dies_is_finished_on_the_other(tmp_path):
    """Takes minutes, because only real processes can have two boot ids and two networks."""
    data, runs = tmp_path / "data", tmp_path / "runs"
    write_sample(data, target_bytes=150_000)
    with ExitStack() as stack:
        hosts = stack.enter_context(connected_hosts(tmp_path))
        addresses = [host.gateway for host in hosts]
        server = stack.enter_context(temporary_server(addresses=addresses))
        if server is None:
            pytest.skip("no Postgres server is installed")
        url = stack.enter_context(postgres_database(server.url, migrated=True))
        database = Database(url)
        stack.callback(database.dispose)
        for host in hosts:
            stack.callback(host.die)
            host.start_worker(url, data, runs)
        wait_for(lambda: len(host_names(database)) == 2, what="both workers")
        spec = tiny_spec(max_steps=STEPS, eval_steps=1000, save_steps=20, device="cpu")
        with database.write() as session:
            job_id = create_job(session, JobSpec.model_validate(spec).resolve())[0].id
        wait_for(lambda: read(database, job_id).checkpoint_step, what="a checkpoint")
        first = host_names(database)[read(database, job_id).worker_id]
        next(host for host in hosts if host.name == first).die()
        wait_for(lambda: read(database, job_id).status in FINAL, what="the end")
        job = read(database, job_id)
        assert (job.status, job.attempt) == ("succeeded", 2)
        assert {first, host_names(database)[job.worker_id]} == {host.name for host in hosts}
        with database.read() as session:
            events = events_after(session, job_id, limit=100_000)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        metrics = [event.data for event in events if event.type == "metrics"]
        losses = {each["step"] for each in metrics if "train/loss" in each["values"]}
        assert losses == set(range(1, STEPS + 1))


def read(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return get_job(session, job_id)


def host_names(database: Database) -> dict[str | None, str]:
    """The host of each live worker, by the id of the worker."""
    with database.read() as session:
        workers = live_workers(session)
    assert len({worker.machine for worker in workers}) == len(workers)
    return {worker.id: worker.hostname for worker in workers}
