"""Uploading a real submission to a stand-in for the Hub, with huggingface_hub."""

import os
import subprocess
import sys

from tests.babylm.hub import hub
from tests.core.submission.conftest import MILESTONES
from tests.core.submission.test_folder import build, submission

PUSH = """
import sys
from pathlib import Path
from babylm.errors import CommandError
from babylm.hub_push import find_token, push_folder
try:
    for folder in sys.argv[1:]:
        options = {"token": find_token(), "private": False, "on_branch": lambda _: None}
        print(push_folder(Path(folder), "user/small", **options))
except CommandError as error:
    sys.exit(f"{error.message} {error.hint}")
"""


def push(folder, server, token, times=1):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder)}
    if token:
        environment["HF_TOKEN"] = token
    command = [sys.executable, "-c", PUSH, *[str(folder)] * times]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_an_upload_is_refused_resumed_and_then_changes_nothing(rundir):
    # One test and not three, because building the folder and importing huggingface_hub take most
    # of the time.
    made = submission(rundir)
    report = build(made)
    with hub() as server:
        refused = push(made.folder, server, "hf_wrong")
        assert refused.returncode == 1
        assert "the Hub refused the upload with status 401" in refused.stderr
        assert "there is no token" in push(made.folder, server, None).stderr
        server.failing_commits = {2}
        broken = push(made.folder, server, server.token)
        assert "status 500" in broken.stderr, broken.stderr
        assert server.commits == ["chck_1M"]
        assert len(server.uploads) == 2  # the weights of chck_2M have arrived
        done = push(made.folder, server, server.token, times=2)
        assert done.stdout.splitlines()[0] == f"{server.url}/user/small", done.stderr
        assert server.commits == [*MILESTONES, "main"]
        assert len(server.uploads) == len(set(server.uploads)) == len(MILESTONES) + 1
    for revision in report["revisions"]:
        snapshot = made.folder / report["cache"] / "snapshots" / revision["commit"]
        assert server.branches[revision["branch"]] == {
            path.name: path.read_bytes() for path in snapshot.iterdir()
        }
