"""Uploads the branches of a submission to the Hugging Face Hub.

The upload runs in the process of the command, so the user's token never reaches the service. The
token comes from `HF_TOKEN` or `hf auth login`; `HF_ENDPOINT` selects another Hub.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babylm.errors import CommandError
from babylm.extras import require_hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAIN = "main"


def find_token() -> str:
    """The token of the user for the Hub.

    Raises:
        CommandError: If huggingface_hub is not installed, or there is no token.
    """
    require_hub()
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise CommandError(
            "there is no token for the Hugging Face Hub",
            hint="Set HF_TOKEN, or run `hf auth login`; the token needs the permission to write.",
        )
    return token


def push_folder(
    folder: Path,
    repository: str,
    *,
    token: str,
    private: bool,
    on_branch: Callable[[str], None],
) -> str:
    """Uploads every branch of the folder of a submission; returns the address of the repository.

    The branch `main` is uploaded last. Files that the Hub already has are not sent again, so a
    repeated call continues an interrupted upload. A branch without changes gets no commit.

    Args:
        folder: The downloaded submission.
        repository: USER/NAME.
        token: The token of `find_token`.
        private: Whether a new repository is private.
        on_branch: Called with the name of each branch before the branch is sent.

    Raises:
        CommandError: If the Hub refuses the upload or does not answer.
    """
    import httpx2 as httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    report = json.loads((folder / "report.json").read_bytes())
    api = HfApi(token=token)
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        for revision in report["revisions"]:
            on_branch(revision["branch"])
            snapshot = folder / report["cache"] / "snapshots" / revision["commit"]
            _push_branch(api, repository, snapshot, revision)
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise CommandError(
            f"the Hub refused the upload with status {status}: {error.server_message or error}",
            hint="Check that the token may write to the repository, then repeat the command: what "
            "has arrived is not sent again.",
        ) from error
    except (httpx.TransportError, OSError) as error:
        raise CommandError(
            f"the upload to the Hub broke: {error}",
            hint="Repeat the command: what has arrived is not sent again.",
        ) from error
    return str(url)


def _push_branch(
    api: "HfApi",
    repository: str,
    snapshot: Path,
    revision: dict[str, Any],  # any JSON value
) -> None:
    from huggingface_hub import CommitOperationAdd

    branch = revision["branch"]
    if branch != MAIN:
        api.create_branch(repository, branch=branch, exist_ok=True)
    api.create_commit(
        repository,
        [CommitOperationAdd(path.name, str(path.resolve())) for path in sorted(snapshot.iterdir())],
        commit_message=f"{branch}: {revision['words_seen']:,} words seen",
        revision=branch,
    )
