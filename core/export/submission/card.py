"""The model card of a submission.

It is the card of the final checkpoint with added sections: data and budget, milestones, scores.
"""

from collections.abc import Iterator, Mapping

from core.checkpoints.model_card import escape_markdown
from core.export.submission.ledger import Ledger
from core.export.submission.plan import SubmissionPlan

CARD_FILE = "README.md"
PLACEHOLDER = '"PATH"'
"""Placeholder in the model card of the checkpoint for the name of the repository."""


def submission_card(
    repository: str, plan: SubmissionPlan, ledger: Ledger, scores: Mapping[str, float]
) -> str:
    """The Markdown text, with the front matter of a Hub model card.

    Args:
        repository: Name of the repository, USER/NAME.
        plan: The plan of the submission.
        ledger: The words by source, and the rules of the track.
        scores: Scores of the final model by task.
    """
    card = (plan.final.folder / CARD_FILE).read_text(encoding="utf-8")
    parts = [card.replace(PLACEHOLDER, f'"{repository}"').rstrip(), ""]
    parts += _budget_lines(ledger)
    parts += _milestone_lines(repository, plan)
    parts += _score_lines(scores)
    return "\n".join(parts)


def _budget_lines(ledger: Ledger) -> Iterator[str]:
    yield from ("## Data and budget", "")
    yield "| source | words before cleaning | words | origin | licence |"
    yield "| --- | --: | --: | --- | --- |"
    for each in ledger.sources:
        before = "" if each.words_before is None else f"{each.words_before:,}"
        origin = escape_markdown(each.origin)
        name, licence = escape_markdown(each.source), escape_markdown(each.licence)
        yield f"| {name} | {before} | {each.words:,} | {origin} | {licence} |"
    yield ""
    for rule in ledger.rules:
        verdict = {True: "kept", False: "BROKEN", None: "not decided"}[rule.holds]
        yield f"- {rule.name.replace('_', ' ')}: {verdict} ({escape_markdown(rule.detail)})"
    yield ""


def _milestone_lines(repository: str, plan: SubmissionPlan) -> list[str]:
    lines = ["## Checkpoints by words seen", ""]
    if plan.milestones:
        first = plan.milestones[0].branch
        lines += [
            "Each branch has the model at the first step that reached this number of words:",
            "",
            "```python",
            f'AutoModelForCausalLM.from_pretrained("{repository}", revision="{first}")',
            "```",
            "",
        ]
    lines += ["| branch | step | words seen |", "| --- | --: | --: |"]
    for each in plan.revisions:
        checkpoint = each.checkpoint
        lines.append(f"| {each.branch} | {checkpoint.step:,} | {checkpoint.words_seen:,} |")
    if plan.not_reached:
        lines += ["", f"Not reached: {', '.join(plan.not_reached)}."]
    return [*lines, ""]


def _score_lines(scores: Mapping[str, float]) -> Iterator[str]:
    if not scores:
        return
    yield from ("## Scores", "", "| task | score |", "| --- | --: |")
    for task, score in sorted(scores.items()):
        yield f"| {escape_markdown(task)} | {score:.4f} |"
    yield ""
