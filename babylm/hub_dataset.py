"""Downloads a dataset of the Hugging Face Hub by its name, for `babylm datasets add --hub`.

The download runs in the process of the command, so the service needs no internet. The files
stay unchanged in the cache of huggingface_hub. If the text is in a column with another name than
`text`, the command copies this column into a file of JSON lines. The front matter of the
repository's README gives the split of each file; without it, the names of the files give the split:
https://huggingface.co/docs/datasets/repository_structure.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from babylm.errors import CommandError
from babylm.extras import require_hub
from core.corpus.formats.extract import RowCounts, opened_rows
from core.corpus.formats.rows import RowOptions
from core.corpus.names import text_format, text_stem
from core.corpus.sources import DEFAULT_ROWS, SourceFile
from core.errors import RunError

if TYPE_CHECKING:
    from huggingface_hub import DatasetInfo, HfApi

SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words that assign a file to a split if they are in the name of the file or its folder."""
OFFLINE_HINT = (
    "Check the connection, a proxy (HTTPS_PROXY) and HF_ENDPOINT. Without internet, download the "
    "files elsewhere (`hf download --repo-type dataset OWNER/NAME`) and add their folder: "
    "`babylm datasets add NAME PATH`."
)
SHOWN_FILES = 8


@dataclass(frozen=True)
class HubFiles:
    """The chosen files of a repository.

    Attributes:
        repository: OWNER/NAME.
        commit: The commit that the revision names.
        licence: The licence in the front matter, if any.
        sizes: Sizes of the files in bytes, by path in the repository.
    """

    repository: str
    commit: str
    licence: str | None
    sizes: dict[str, int]


def find_files(repository: str, *, revision: str | None, split: str | None) -> HubFiles:
    """The text files of a split, at the commit to which the revision refers now.

    Args:
        repository: OWNER/NAME.
        revision: A branch, a tag or a commit. Default: `main`.
        split: Name of a split. Default: the only split.

    Raises:
        CommandError: If the Hub does not answer or has no such dataset, or no split can be chosen.
    """
    api = _api()
    with _hub_errors(repository, revision):
        info = api.dataset_info(repository, revision=revision, files_metadata=True)
    assert info.sha is not None
    sizes = {each.rfilename: each.size or 0 for each in info.siblings or []}
    texts = [path for path in sizes if _is_text(path)]
    if not texts:
        shown = ", ".join(list(sizes)[:SHOWN_FILES]) or "none"
        raise CommandError(
            f"the dataset {repository} has no text file that the service can read; its files: "
            f"{shown}",
            hint="Convert it with the library datasets, and add the folder that it saves.",
        )
    chosen = _of_split(repository, _splits(texts, _configuration(repository, info)), split)
    return HubFiles(repository, info.sha, _licence(info), {path: sizes[path] for path in chosen})


def download_files(
    found: HubFiles, folder: Path, *, column: str | None, advance: Callable[[int], None]
) -> list[str]:
    """Downloads the files and puts them into the folder; returns notes about skipped rows.

    Args:
        found: The files.
        folder: An empty folder. Unchanged files become links to the files in the cache.
        column: The column that becomes the text. Default: files are not changed.
        advance: Called with the size of each file that arrived.

    Raises:
        CommandError: If a download breaks, or a file has no such column.
    """
    notes: list[str] = []
    api = _api()
    for path, size in found.sizes.items():
        with _hub_errors(found.repository, found.commit):
            name = api.hf_hub_download(
                found.repository, path, repo_type="dataset", revision=found.commit
            )
        cached = Path(name)
        target = folder / PurePosixPath(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        form = text_format(target.name)
        if column is not None and form is not None and form.has_rows:
            notes += _write_column(cached, target, column)
        else:
            target.symlink_to(cached.resolve())
        advance(size)
    return notes


def _api() -> "HfApi":
    require_hub()
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    return HfApi()


@contextmanager
def _hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turns errors of huggingface_hub within the block into errors of the command."""
    import httpx2 as httpx
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise CommandError(
            f"the dataset {repository} is gated: you can download it only after you accept its "
            "conditions",
            hint=f"Accept them at {constants.ENDPOINT}/datasets/{repository}, then set HF_TOKEN or "
            "run `hf auth login`.",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CommandError(
            f"the Hub has no dataset {repository}, or it is private",
            hint="Check the name. For a private dataset set HF_TOKEN or run `hf auth login`.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CommandError(
            f"the dataset {repository} has no branch, tag or commit {revision}",
            hint=f"See {constants.ENDPOINT}/datasets/{repository}/tree/main.",
        ) from error
    except errors.HFValidationError as error:
        raise CommandError(
            f"{repository!r} is not a valid name of a dataset on the Hub", hint="Give OWNER/NAME."
        ) from error
    except errors.HfHubHTTPError as error:
        raise CommandError(
            f"the Hub refused {repository} with status {error.response.status_code}: "
            f"{error.server_message or error}",
            hint="Repeat the command later: what has arrived is not requested again.",
        ) from error
    except (
        httpx.TransportError,
        errors.OfflineModeIsEnabled,
        errors.LocalEntryNotFoundError,
        errors.FileMetadataError,
    ) as error:
        raise CommandError(
            f"the Hugging Face Hub at {constants.ENDPOINT} does not answer: {error}",
            hint=OFFLINE_HINT,
        ) from error


def _is_text(path: str) -> bool:
    parts = PurePosixPath(path).parts
    is_hidden = any(part.startswith(".") for part in parts)
    return not is_hidden and text_stem(parts[-1]) is not None


def _licence(info: "DatasetInfo") -> str | None:
    value = info.card_data.get("license") if info.card_data else None
    return ", ".join(map(str, _as_list(value))) or None


def _configuration(repository: str, info: "DatasetInfo") -> dict[str, Any]:
    """The default configuration in the front matter; empty if no configuration names files."""
    found = (info.card_data.get("configs") if info.card_data else None) or []
    files = [each for each in found if each.get("data_files") or each.get("data_dir")]
    named = [each for each in files if each.get("default") or each["config_name"] == "default"]
    if len(files) > 1 and not named:
        names = ", ".join(each["config_name"] for each in files)
        raise CommandError(
            f"the dataset {repository} has several configurations ({names}) and no default one",
            hint="Download one with the library datasets, and add the folder that it saves.",
        )
    chosen: list[dict[str, Any]] = [*named, *files, {}]
    return chosen[0]


def _splits(texts: list[str], configuration: dict[str, Any]) -> dict[str, list[str]]:
    """The files of each split: by the patterns of the configuration, or else by their names."""
    folder = PurePosixPath(configuration.get("data_dir") or "")
    patterns = _patterns(configuration.get("data_files"))
    splits: dict[str, list[str]] = {}
    for path in texts:
        if not PurePosixPath(path).is_relative_to(folder):
            continue
        inner = str(PurePosixPath(path).relative_to(folder))
        names = [split for split, each in patterns if each.match(inner)]
        for name in dict.fromkeys(names) if patterns else [_split_by_name(inner)]:
            splits.setdefault(name, []).append(path)
    return splits


def _patterns(data_files: Any) -> list[tuple[str, re.Pattern[str]]]:  # any value of YAML
    """Splits and patterns of paths; an entry of `data_files` without a split belongs to `train`."""
    from fsspec.utils import glob_translate

    found = []
    for entry in _as_list(data_files):
        each = entry if isinstance(entry, dict) else {"split": "train", "path": entry}
        for path in _as_list(each["path"]):
            pattern = re.compile(glob_translate(str(PurePosixPath(path))))
            found.append((str(each["split"]), pattern))
    return found


def _as_list(value: Any) -> list[Any]:  # any value of YAML
    """The value itself if it is a list, else a list of the value; empty for None."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _split_by_name(path: str) -> str:
    """The split of the file by the words in its name, or else by the words in its folders' names.

    `train` if there is no such word.
    """
    for part in reversed(PurePosixPath(path).parts):
        words = re.split(r"[-._ \d]+", part.lower())
        for split, known in SPLIT_WORDS.items():
            if any(word in known for word in words):
                return split
    return "train"


def _of_split(repository: str, splits: dict[str, list[str]], split: str | None) -> list[str]:
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    wanted = next((name for name, words in SPLIT_WORDS.items() if split in words), split)
    for name in (split, wanted):
        if name in splits:
            return splits[name]
    listed = ", ".join(f"{name} ({len(paths)} files)" for name, paths in splits.items())
    if split is None:
        raise CommandError(
            f"the dataset {repository} has several splits: {listed}",
            hint="Name one with --split; add training and validation text as two datasets.",
        )
    raise CommandError(f"the dataset {repository} has no split {split}; it has: {listed or 'none'}")


def _write_column(cached: Path, target: Path, column: str) -> list[str]:
    """Writes a column of a file of rows as JSON lines; returns a note about malformed rows."""
    # Files in the cache have hashes as names; the link has the suffix that selects the reader.
    target.symlink_to(cached.resolve())
    stem = text_stem(target.name)
    assert stem is not None
    rows = RowOptions(column=column, mode=DEFAULT_ROWS.mode)
    file = SourceFile(target, stem, stem, cached.stat().st_size, rows)
    output = target.with_name(f"{stem}.jsonl.part")
    counts = RowCounts(target)
    try:
        with opened_rows(file, target.parent) as found, output.open("w", encoding="utf-8") as lines:
            for row in found:
                if counts.accepts(row):
                    lines.write(json.dumps({"text": row}) + "\n")
        malformed = counts.report().malformed
    except RunError as error:
        error.replace(str(target), target.name)
        raise CommandError(error.message, hint=error.hint) from error
    target.unlink()
    output.rename(target.with_name(f"{stem}.jsonl"))
    return [f"{target.name}: {malformed:,} malformed rows are skipped"] if malformed else []
