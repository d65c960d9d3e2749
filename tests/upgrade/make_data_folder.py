"""Makes `version-0.1.tar.xz`: the data folder of a service that was killed while it worked.

Run it in a checkout of version 0.1 (commit 52c77b4), with that version installed:

    python make_data_folder.py version-0.1.tar.xz

The folder holds a finished, a failed, a cancelled, a paused, a running and a queued job. The
finished, paused and running jobs have the same settings and seed, so they end with equal weights.
"""

import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, os.getcwd())

from core.sample import write_sample
from tests.system.service import running_service, tiny_spec
from tests.waiting import wait_for

STEPS = 1500


def spec(name: str, **changes: object) -> dict:
    made = tiny_spec(
        max_steps=STEPS, logging_steps=100, eval_steps=500, save_steps=500, save_total_limit=1
    )
    made["name"] = name
    made["tokenizer"]["vocab_size"] = 300
    made["model"] |= {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    made["training"] |= {"epochs": 10_000, "seq_length": 16, "batch_size": 4, "sample_prompts": []}
    return made | changes


def main(target: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    write_sample(folder / "data", target_bytes=20_000)
    shutil.copytree(folder / "data" / "sample", folder / "data" / "lost")
    with running_service(folder) as service:
        finished = service.submit(spec("finished"))["id"]
        service.wait(finished)
        paused = service.submit(spec("paused"))["id"]
        failed = service.submit(
            spec("failed", data={"dataset": "lost", "validation": "sample_dev"})
        )["id"]
        shutil.rmtree(folder / "data" / "lost")
        service.wait_for_step(paused, 600)
        service.http.post(f"/v1/jobs/{paused}/pause").raise_for_status()
        service.wait(paused, until={"paused"})
        assert service.wait(failed)["status"] == "failed"
        running = service.submit(spec("running"))["id"]
        cancelled = service.submit(spec("cancelled"))["id"]
        service.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()
        queued = service.submit(spec("queued"))["id"]
        service.wait_for_step(running, 600)
        service.child(running).suspend()
        wait_for(lambda: service.job(running)["step"] >= 600, what="step in the row")
        for job_id, status in ((running, "running"), (queued, "queued"), (cancelled, "cancelled")):
            assert service.job(job_id)["status"] == status
        main_process = psutil.Process(service.process.pid)
        everything = [main_process, *main_process.children(recursive=True)]
        for process in everything:
            process.kill()
        psutil.wait_procs(everything)
    keep = ("data", "runs")
    with tarfile.open(target, "w:xz") as archive:
        for name in keep:
            archive.add(folder / name, name, filter=without_logs)


def without_logs(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return None if member.name.endswith((".log", ".sock", ".rdb")) else member


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
