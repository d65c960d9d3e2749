import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest

from core.errors import SubmissionInvalid
from core.export.submission.build import Submission, advance_submission
from tests.core.submission.conftest import MILESTONES

LOAD = """
import json, sys
from transformers import AutoModelForCausalLM, AutoProcessor
found = {}
for revision in sys.argv[2:]:
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], revision=revision)
    tokenizer = AutoProcessor.from_pretrained(sys.argv[1], revision=revision)
    ids = tokenizer("the dog", return_tensors="pt")["input_ids"]
    found[revision] = model(input_ids=ids).logits.sum().item()
print(json.dumps(found))
"""


def submission(rundir, **fields) -> Submission:
    return Submission(
        rundir=rundir,
        data_dir=fields.pop("data_dir", rundir.root / "data"),
        repository="user/small",
        checkpoint=fields.pop("checkpoint", "last"),
        folder=rundir.submissions / "one",
        **fields,
    )


def build(made: Submission) -> dict:
    state, answers = None, []
    while True:
        answer = advance_submission(made, state, seconds=0.0)
        answers.append(answer)
        if "state" not in answer:
            assert len(answers) == 4  # a slice for each of three checkpoints, and the end
            return answer
        state = json.loads(json.dumps(answer["state"]))


def git(folder, *words) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def test_the_folder_is_a_hub_cache_and_a_git_repository(rundir):
    made = submission(rundir, scores={"blimp": 0.75})
    report = build(made)
    branches = {each["branch"]: each["commit"] for each in report["revisions"]}
    assert list(branches) == [*MILESTONES, "main"]
    assert report["not_reached"][0] == "chck_3M"
    assert not report["complete"]
    # Offline, transformers loads different weights for each revision.
    environment = os.environ | {"HF_HUB_CACHE": str(made.folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "user/small", *branches],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(set(json.loads(done.stdout).values())) == len(branches)
    # git has a complete and consistent branch for each checkpoint.
    listed = git(made.folder, "branch", "--format=%(refname:short) %(objectname)").splitlines()
    assert dict(line.split() for line in listed) == branches
    assert "chck_1M: chck_1M, 1,000,037 words seen" in git(made.folder, "log", "main")
    git(made.folder, "fsck", "--strict")
    clone = rundir.root / "clone"
    git(rundir.root, "clone", "-q", "-b", "chck_2M", str(made.folder), str(clone))
    snapshot = made.folder / "models--user--small" / "snapshots" / branches["chck_2M"]
    assert {path.name for path in clone.iterdir()} - {".git"} == {
        path.name for path in snapshot.iterdir()
    }
    assert (clone / "config.json").read_bytes() == (snapshot / "config.json").read_bytes()
    pointer = (clone / "model.safetensors").read_text().splitlines()[1]
    weights = (snapshot / "model.safetensors").resolve()
    assert pointer == f"oid sha256:{weights.name}"
    # The weights are on the disk only once.
    assert (
        weights.stat().st_ino == (rundir.checkpoint("chck_2M") / "model.safetensors").stat().st_ino
    )
    card = (made.folder / "README.md").read_text()
    assert 'from_pretrained("user/small")' in card
    assert "| chck_2M | 20 | 2,000,037 |" in card
    assert "| blimp | 0.7500 |" in card


def test_the_same_run_gives_the_same_commits(rundir):
    first = build(submission(rundir))
    again = submission(rundir)
    assert build(again) == first
    assert [path.name for path in rundir.submissions.iterdir()] == ["one"]


def test_a_configuration_of_version_0_1_gets_its_missing_entries(rundir):
    # Version 0.1 wrote the entries of transformers 5, without those that transformers 4 needs.
    file = rundir.checkpoint("chck_1M") / "config.json"
    complete = file.read_bytes()
    content = json.loads(complete)
    del content["rope_theta"], content["torch_dtype"]
    old = json.dumps(content).encode()
    file.write_bytes(old)
    lines = [json.loads(line) for line in rundir.journal.read_text().splitlines()]
    for line in lines:
        if line["data"]["name"] == "chck_1M":
            [entry] = [each for each in line["data"]["files"] if each["path"] == "config.json"]
            entry |= {"size": len(old), "sha256": sha256(old).hexdigest()}
    written = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    rundir.journal.write_text("".join(written))
    made = submission(rundir)
    report = build(made)
    assert "config.json of chck_1M, written by an older version" in report["warnings"][0]
    snapshots = made.folder / report["cache"] / "snapshots"
    for revision in report["revisions"]:
        assert (snapshots / revision["commit"] / "config.json").read_bytes() == complete
    assert file.read_bytes() == old  # a checkpoint never changes


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("weights", "chck_2M/model.safetensors is missing or differs from what the run wrote"),
        ("config", "chck_1M/config.json is missing or differs"),
        ("journal", "the job has seen 2,500,000 words, and these milestones are missing: chck_2M"),
        ("track", "the job is of the track free, which has no milestones"),
        ("checkpoint", "the job has no checkpoint best-1; it has: chck_1M, chck_2M"),
    ],
)
def test_a_damaged_or_missing_milestone_is_refused_by_name(rundir, damage, message):
    checkpoint = "last"
    if damage == "weights":
        path = rundir.checkpoint("chck_2M") / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "config":
        (rundir.checkpoint("chck_1M") / "config.json").unlink()
    elif damage == "journal":
        lines = rundir.journal.read_text().splitlines(keepends=True)
        rundir.journal.write_text("".join(line for line in lines if '"chck_2M"' not in line))
    elif damage == "track":
        spec = json.loads(rundir.spec.read_text()) | {"track": "free"}
        rundir.spec.write_text(json.dumps(spec))
    else:
        checkpoint = "best-1"
    made = submission(rundir, checkpoint=checkpoint)
    with pytest.raises(SubmissionInvalid, match=message):
        build(made)
    assert not made.folder.exists()
