# ruff: noqa: T201 (it is a program)
"""Simulates sbatch, squeue, scancel and scontrol on a state file, with faults on request.

Small scripts on PATH call it as `python fake_slurm.py STATE PROGRAM ARGUMENTS...`.
"""

import fcntl
import json
import os
import sys
import time
import zlib

HANG_SECONDS = 60.0
STATES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "NODE_FAIL", "CANCELLED", "COMPLETING")
FAULTS = {
    "sbatch": (
        *("hang", "hang_accepted", "babble", "babble_accepted", "refuse", "timed_out"),
        *("timed_out_accepted", "late"),
    ),
    "squeue": ("hang", "babble", "fail", "wrong_states", "empty", "torn"),
    "scancel": ("hang", "fail", "ignore"),
}


class Opened:
    """Locks and reads the state, and writes it back at the end of the block."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __enter__(self):
        self.lock = open(f"{self.path}.lock", "a")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        with open(self.path) as file:
            self.state = json.load(file)
        return self.state

    def __exit__(self, *error: object) -> None:
        with open(f"{self.path}.new", "w") as file:
            json.dump(self.state, file)
        os.replace(f"{self.path}.new", self.path)
        self.lock.close()


def dice(*seeds: object) -> float:
    """A number from 0 to 1 that depends only on the seeds."""
    return zlib.crc32(repr(seeds).encode()) / 2**32


def choose(things, *seeds: object):
    return things[int(dice(*seeds) * len(things))]


def main() -> int:
    path, program, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    script = sys.stdin.read() if program == "sbatch" else ""
    with Opened(path) as state:
        state["calls"].append(program)
        fault = choose_fault(state, program)
        accept_late(state)
        if program == "sbatch":
            status = sbatch(state, arguments, script, fault)
        elif program == "squeue":
            status = squeue(state, fault)
        elif program == "scancel":
            status = scancel(state, arguments, fault)
        else:
            status = 0
    sys.stdout.flush()
    if fault in ("hang", "hang_accepted"):
        time.sleep(HANG_SECONDS)
    return status


def choose_fault(state, program: str) -> str | None:
    planned = state["planned"].get(program)
    if planned:
        fault = planned.pop(0)
    else:
        number = len(state["calls"])
        is_due = program in FAULTS and dice(state["seed"], number) < state["rate"]
        fault = choose(FAULTS[program], "fault", state["seed"], number) if is_due else None
    if fault:
        state["faults"][fault] = state["faults"].get(fault, 0) + 1
    return fault


def accept(state, arguments: list[str], script: str) -> str:
    state["last_id"] += 1
    slurm_id = str(state["last_id"])
    options = dict(each.lstrip("-").partition("=")[::2] for each in arguments)
    state["jobs"][slurm_id] = {
        "name": options["job-name"],
        "state": "PENDING",
        "reason": "Priority",
        "start": "N/A",
        "options": options,
        "script": script,
        "environment": dict(os.environ),
    }
    return slurm_id


def accept_late(state) -> None:
    """Accepts a late submission at the third later call, as if the controller had been hanging."""
    for entry in state["late"]:
        entry["wait"] -= 1
    due = [entry for entry in state["late"] if entry["wait"] <= 0]
    state["late"] = [entry for entry in state["late"] if entry["wait"] > 0]
    for entry in due:
        accept(state, entry["arguments"], entry["script"])


def sbatch(state, arguments: list[str], script: str, fault: str | None) -> int:
    if fault in (None, "hang_accepted", "babble_accepted", "timed_out_accepted"):
        slurm_id = accept(state, arguments, script)
    if fault == "late":
        state["late"].append({"wait": 3, "arguments": arguments, "script": script})
    if fault in ("babble", "babble_accepted"):
        print("\x1b]0;hello\x07 ~~~ %s %n (null)")
        return 0
    if fault == "refuse":
        print("sbatch: error: invalid partition specified: nowhere", file=sys.stderr)
        print("sbatch: error: Batch job submission failed: Invalid partition", file=sys.stderr)
        return 1
    if fault in ("timed_out", "timed_out_accepted", "late"):
        words = "Batch job submission failed: Socket timed out on send/recv operation"
        print(f"sbatch: error: {words}", file=sys.stderr)
        return 1
    if fault is None:
        print(f"{slurm_id};cluster")
    return 0


def squeue(state, fault: str | None) -> int:
    if fault == "fail":
        print("slurm_load_jobs error: Unable to contact slurm controller", file=sys.stderr)
        return 1
    if fault == "babble":
        print("Segmentation fault\n||||\n\x00\x01\nJOBID PARTITION NAME")
        return 0
    if fault in ("empty", "hang"):
        return 0
    lines = ["99_[1-3]|PENDING|N/A|Priority|another user's array"]
    for slurm_id, job in state["jobs"].items():
        said = (
            choose(STATES, slurm_id, len(state["calls"]))
            if fault == "wrong_states"
            else job["state"]
        )
        lines.append(f"{slurm_id}|{said}|{job['start']}|{job['reason']}|{job['name']}")
    text = "\n".join(lines)
    print(text[: len(text) // 2] if fault == "torn" else text)
    return 0


def scancel(state, arguments: list[str], fault: str | None) -> int:
    if fault == "fail":
        print("scancel: error: Kill job error: Socket timed out", file=sys.stderr)
        return 1
    job = state["jobs"].get(arguments[-1])
    if job is not None and fault is None:
        state["cancelled"].append(arguments[-1])
        if job["state"] in ("PENDING", "RUNNING"):
            job["state"] = "CANCELLED"
    return 0


if __name__ == "__main__":
    sys.exit(main())
