"""Tables of the README and of docs/recipe.md, made from the finished runs of the study."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from benchmarks.recipe.runs import Figures
from benchmarks.recipe.summary import BASELINE, best_bits, spread
from core.archs import ARCHITECTURES

RESULTS = Path(__file__).with_name("results.jsonl")
CHOSEN = "best-documents"
"""The condition with the settings of the `best-*` presets. The presets for a GPU have a lower
learning rate."""
NOT_MEASURED = "not measured"
ALL = "all paradigms"


def read_results(path: Path = RESULTS) -> list[Figures]:
    """The lines of a results file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def leaderboard(runs: Sequence[Figures]) -> str:
    """A Markdown table of upstream's and the chosen settings, by shape, then by bits per byte."""
    groups: dict[tuple[str, str, str], list[Figures]] = defaultdict(list)
    for run in runs:
        if run["condition"] in (BASELINE, CHOSEN, "final"):
            groups[run["shape"], run["architecture"], run["condition"]].append(run)
    paired = {key[:2] for key in groups if key[2] != BASELINE}
    rows = sorted(
        (item for item in groups.items() if item[0][:2] in paired),
        key=lambda item: (item[0][0], mean(map(best_bits, item[1]))),
    )
    lines = [
        "| model | settings | seeds | parameters | words seen | minutes | device | bits per byte "
        "| BLiMP | date | commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (shape, architecture, condition), group in rows:
        newest = max(group, key=lambda run: run["finished_at"])
        cells = [
            f"{ARCHITECTURES[architecture].title}, `{shape}`",
            "upstream's" if condition == BASELINE else f"`{condition}`",
            str(len(group)),
            f"{newest['parameters'] / 1e6:.2f}M",
            f"{newest['words_seen'] / 1e6:.1f}M",
            # The fastest seed, because the other seeds shared their core with other programs.
            f"{min(run['train_seconds'] for run in group) / 60:.1f}",
            _device(newest),
            spread([best_bits(run) for run in group]),
            _blimp(group),
            newest["finished_at"][:10],
            newest.get("commit") or "not recorded",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(runs: Sequence[Figures], *, shape: str = "cpu") -> str:
    """A Markdown table of bits per byte by words seen. Each cell is the mean over the seeds."""
    groups: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for run in runs:
        if run["shape"] == shape and run["condition"] in (BASELINE, CHOSEN):
            groups[run["architecture"], run["condition"]].append(run)
    columns = sorted(groups, key=lambda key: (list(ARCHITECTURES).index(key[0]), key[1]))
    titles = [
        f"{ARCHITECTURES[name].title}, {'upstream' if condition == BASELINE else 'best'}"
        for name, condition in columns
    ]
    points: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for key, group in groups.items():
        by_words: dict[int, list[float]] = defaultdict(list)
        for words, _, bits in (point for run in group for point in run["curve"]):
            by_words[words].append(bits)
        for words, bits in by_words.items():
            points[words][key] = mean(bits)
    lines = [f"| words seen | {' | '.join(titles)} |", f"| --- |{' --- |' * len(titles)}"]
    for words in sorted(points):
        found = [points[words].get(key) for key in columns]
        cells = ["" if bits is None else f"{bits:.3f}" for bits in found]
        lines.append(f"| {words:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def phenomena(runs: Sequence[Figures], *, shape: str = "cpu") -> str:
    """A Markdown table of the BLiMP score of each phenomenon, as the mean over all runs.

    It compares upstream's settings with the chosen settings over all architectures and seeds.
    """
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    for run in runs:
        if run["shape"] == shape and run.get("blimp") is not None:
            scores[run["condition"]].append(run["blimp_by_phenomenon"] | {ALL: run["blimp"]})
    before, after = scores[BASELINE], scores[CHOSEN]
    lines = [
        "| phenomenon | upstream's | best | difference |",
        "| --- | --- | --- | --- |",
    ]
    if not before or not after:
        return "\n".join(lines)
    rows = []
    for name in before[0]:
        old, new = ([run[name] for run in group] for group in (before, after))
        rows.append((mean(new) - mean(old), name, spread(old, digits=1), spread(new, digits=1)))
    lines += [
        f"| {name.replace('_', ' ')} | {old} | {new} | {change:+.1f} |"
        for change, name, old, new in sorted(rows, reverse=True)
    ]
    return "\n".join(lines)


def replace_block(page: str, name: str, content: str) -> str:
    """The page with new content between `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
        ValueError: If the page has no such block.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no block between {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{end}", page)


def _device(run: Figures) -> str:
    if run.get("device"):
        return str(run["device"])
    threads = run["settings"].get("num_threads")
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}" if threads else "not recorded"


def _blimp(group: Sequence[Figures]) -> str:
    scores = [run["blimp"] for run in group if run.get("blimp") is not None]
    return spread(scores, digits=1) if scores else NOT_MEASURED
