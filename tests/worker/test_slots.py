"""Jobs share a GPU only as long as their expected memory fits into the memory of the GPU."""

from dataclasses import asdict

import pytest

from core.evaluation.classification import ClassificationTask, Examples
from core.evaluation.finetune.estimate import estimate_finetune
from core.spec.job import JobSpec
from jobs.attempts import claim_next
from jobs.resources import (
    DEVICE_PROGRAM_BYTES,
    MEMORY_MARGIN,
    Offer,
    device_bytes,
    needs_of,
    serves,
    unserved_reason,
)
from jobs.store import create_job, get_job
from jobs.tables import Job
from worker.slots import Slots

GIB = 1 << 30
SMALL = JobSpec.model_validate({"preset": "sample"}).resolve()
NEEDED = device_bytes(SMALL)


def gpus(*memory):
    return [
        {"index": index, "kind": "cuda", "memory_bytes": size} for index, size in enumerate(memory)
    ]


def queue(database, *device_bytes):
    """Queues jobs with the given expected memory; returns their ids."""
    ids = []
    with database.write() as session:
        for size in device_bytes:
            job, _ = create_job(session, SMALL)
            job.device_bytes = size
            session.add(job)
            ids.append(job.id)
    return ids


def claim(database, slots):
    """Claims a job like a slot thread of a worker; returns the job and its slot."""
    slot = slots.take()
    if slot is None:
        return None
    with database.write() as session:
        job = claim_next(session, "worker", free_bytes=slots.free_bytes(slot))
    if job is None:
        slots.give_back(slot)
        return None
    slots.claim(slot, job.device_bytes)
    return job.id, slot


@pytest.fixture
def database(stage):
    one = stage()
    with one.database.write() as session:
        session.delete(get_job(session, one.job_id))
    return one.database


def test_a_job_claims_its_expected_memory():
    assert NEEDED > GIB
    with_tokenizer_only = SMALL.model_copy(update={"task": "tokenizer"})
    assert device_bytes(with_tokenizer_only) == 0
    larger = JobSpec.model_validate({"preset": "best-10m"}).resolve()
    assert device_bytes(larger) > 2 * NEEDED


def test_a_finetuning_claims_the_memory_of_its_longest_step_or_the_whole_device():
    def finetuning(**settings):
        finetune = {"job": "a", "tasks": ["rte", "boolq"], **settings}
        section = JobSpec.model_validate({"task": "finetune", "finetune": finetune}).finetune
        return SMALL.model_copy(update={"task": "finetune", "finetune": section})

    claimed = device_bytes(finetuning())
    assert claimed > GIB
    assert device_bytes(finetuning(tasks=["boolq"])) < claimed  # 16 examples per step, not 32
    assert device_bytes(finetuning(sequence_length=128)) < claimed
    assert device_bytes(finetuning(tasks=None)) is None
    assert needs_of(finetuning()).device_bytes == claimed
    texts = [("a word " * 1000,)] * 64
    task = ClassificationTask("rte", Examples(texts, [0] * 64), Examples(texts, [0] * 64))
    expected = estimate_finetune(finetuning(), [task]).device_memory_bytes
    assert claimed == int(expected * MEMORY_MARGIN) + DEVICE_PROGRAM_BYTES


def test_small_jobs_share_a_gpu_until_its_memory_is_claimed(database):
    slots = Slots(gpus(3 * NEEDED + 1), 8, {})
    ids = queue(database, *[NEEDED] * 5)
    running = [claim(database, slots) for _ in range(4)]
    assert [each and each[0] for each in running] == [*ids[:3], None]  # the fourth would not fit
    _, ended = running[1]
    slots.give_back(ended)
    assert claim(database, slots)[0] == ids[3]
    assert claim(database, slots) is None


def test_a_large_job_waits_for_an_empty_gpu_and_is_not_overtaken(database):
    slots = Slots(gpus(10 * GIB), 4, {})
    small, large, unknown, last = queue(database, 2 * GIB, 20 * GIB, None, 2 * GIB)
    first = claim(database, slots)
    assert first[0] == small
    assert claim(database, slots) is None  # `last` would fit, but keeps its place in the queue
    slots.give_back(first[1])
    alone = claim(database, slots)
    assert alone[0] == large  # needs more memory than the GPU has, so it runs alone
    assert claim(database, slots) is None
    slots.give_back(alone[1])
    alone = claim(database, slots)
    assert alone[0] == unknown
    assert claim(database, slots) is None
    slots.give_back(alone[1])
    assert claim(database, slots)[0] == last


def test_the_emptiest_gpu_is_taken_first():
    slots = Slots(gpus(10 * GIB, 10 * GIB), 6, {"OMP_NUM_THREADS": "2"})
    taken = []
    for claimed in (6, 1, 2, 1):
        slot = slots.take()
        slots.claim(slot, claimed * GIB)
        taken.append(slot.environment["CUDA_VISIBLE_DEVICES"])
        assert slot.environment["OMP_NUM_THREADS"] == "2"
    assert taken == ["0", "1", "1", "1"]


@pytest.mark.parametrize("devices", [gpus(GIB, GIB), [{"index": 0, "kind": "cpu"}]])
def test_slots_without_a_shared_gpu_claim_no_memory(database, devices):
    devices = [{"memory_bytes": GIB, **each} for each in devices]
    slots = Slots(devices, 2, {})
    ids = queue(database, 50 * GIB, 50 * GIB)
    assert [claim(database, slots)[0] for _ in range(2)] == ids
    assert claim(database, slots) is None


def test_a_worker_of_unknown_size_is_not_reported_as_one_without_memory():
    """An offer without sizes serves the job.

    Each of the other offers has at least one size that is too small.
    """
    spec = JobSpec.model_validate({"preset": "sample", "resources": {"memory": "8GB"}}).resolve()
    job = Job(id="", name="", status="queued", spec={}, **asdict(needs_of(spec)))
    unknown, small = Offer(), Offer(memory_bytes=1 << 30, device_memory_bytes=1)
    assert serves(unknown, job)
    assert "the largest worker has 1,073,741,824" in unserved_reason(job, [small])
    roomy = Offer(memory_bytes=64 << 30, device_memory_bytes=1)
    assert "the largest device has 1" in unserved_reason(job, [small, roomy])
    fast = Offer(memory_bytes=1, device_memory_bytes=None)
    assert "no worker has all that the job needs" in unserved_reason(job, [roomy, fast])
