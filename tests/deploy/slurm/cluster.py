"""A real Slurm of two nodes on loopback, from Debian's packages, without installing anything.

`packages` unpacks the packages into a folder; `running_cluster` starts munge, a controller and two
nodes with their own key and ports, as the calling user.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGES = (
    *("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins"),
    *("munge", "libmunge2", "libhwloc15", "libnuma1", "liblz4-1", "libhttp-parser2.9"),
)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
READY_SECONDS = 60.0

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
PluginDir={plugins}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
ReturnToService=2
SlurmdTimeout=20
KillWait=10
MinJobAge=60
OverTimeLimit=0
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=2 RealMemory=64000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=2 RealMemory=64000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def packages(folder: Path) -> Path:
    """Downloads and unpacks the packages, unless this was done before; returns their root."""
    root = folder / "root"
    if root.exists():
        return root
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    return root


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Cluster:
    """A controller and two nodes."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        libraries = root / LIBRARIES
        self.environment = os.environ | {
            "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f"{libraries / 'slurm-wlm'}:{libraries}",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def configure(self) -> None:
        for name in ("state", "n1", "n2"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        port, port1, port2 = free_ports(3)
        text = CONFIGURATION.format(
            host=socket.gethostname(),
            port=port,
            port1=port1,
            port2=port2,
            user=os.environ.get("USER") or "root",
            folder=self.folder,
            plugins=self.root / LIBRARIES / "slurm-wlm",
        )
        (self.folder / "slurm.conf").write_text(text)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)

    def start_munge(self) -> None:
        folder = self.folder
        self._start(
            "munge",
            *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
            *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"),
            *(f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"),
        )
        self._until(lambda: (folder / "munge.socket").exists(), "munge")

    def start_controller(self) -> None:
        self._start("slurmctld", "slurmctld-wlm", "-D", "-f", f"{self.folder}/slurm.conf")

    def start_node(self, name: str) -> None:
        step = self.root / "usr/sbin/slurmstepd-wlm"
        configuration = f"{self.folder}/slurm.conf"
        self._start(name, "slurmd-wlm", "-D", "-N", name, "-f", configuration, "-d", str(step))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait()

    def wait_until_idle(self) -> None:
        def idle() -> bool:
            answer = self.call("sinfo", "--noheader", "--format=%T %D", check=False)
            return answer.split() == ["idle", "2"]

        self._until(idle, "both nodes to be idle")

    def nodes_in_use(self) -> list[str]:
        command = ("squeue", "--states=running", "--noheader", "--format=%N")
        return self.call(*command, check=False).split()

    def call(self, *command: str, check: bool = True) -> str:
        answer = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check, timeout=60
        )
        return answer.stdout

    def stop(self) -> None:
        with suppress(subprocess.SubprocessError):
            self.call("scancel", f"--user={os.getuid()}", "--full", check=False)
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _until(self, holds, what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                logs = [f"{log}:\n{log.read_text()[-1500:]}" for log in self.folder.glob("*.log")]
                raise TimeoutError("\n".join([f"waited for {what}", *logs]))
            time.sleep(0.2)


@contextmanager
def running_cluster(root: Path, folder: Path) -> Iterator[Cluster]:
    """Starts a cluster, waits until its nodes are idle, and stops it at the end of the block."""
    cluster = Cluster(root, folder)
    cluster.configure()
    try:
        cluster.start_munge()
        cluster.start_controller()
        for name in ("n1", "n2"):
            cluster.start_node(name)
        cluster.wait_until_idle()
        yield cluster
    finally:
        cluster.stop()
