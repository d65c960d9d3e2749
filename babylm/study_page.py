"""Prints studies in the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from babylm.client.figures import short_ids
from babylm.client.wire import Body
from babylm.errors import INTERRUPTED, CommandError
from babylm.output import age, print_note, print_table

if TYPE_CHECKING:
    from babylm.client import Study

VERDICTS = {
    "baseline": "baseline",
    "better": "better",
    "worse": "worse",
    "within_noise": "within noise",
    "too_few_seeds": "too few seeds",
}


def print_studies(studies: Sequence[Body]) -> None:
    """Prints a line for each study."""
    names = short_ids([each["id"] for each in studies])
    rows = [
        (
            names[each["id"]],
            each["name"],
            str(each["num_conditions"]),
            str(len(each["seeds"])),
            counts_text(each["counts"]),
            age(each["created_at"]),
        )
        for each in studies
    ]
    empty = "no studies; create one with `babylm study --preset sample --seeds 3`"
    columns = ("study", "name", "conditions", "seeds", "jobs", "created")
    print_table(columns, rows, empty=empty, shortened="name")


def print_study(study: Body) -> None:
    """Prints a line for each metric of each condition, and then a line for each job."""
    print(f"study {study['id']}  {study['name']}  {counts_text(study['counts'])}\n")
    rows = [
        (condition_text(row["condition"]), name, *_cells(row["metrics"].get(name)))
        for name in study["metrics"]
        for row in study["table"]
    ]
    empty = "no job has succeeded with a validation or an evaluation so far"
    columns = ("condition", "metric", "n", "mean ± deviation", "best", "against baseline")
    print_table(columns, rows, empty=empty)
    print()
    names = short_ids([member["job"] for member in study["members"]])
    members = [
        (
            names[member["job"]],
            condition_text(member["condition"]),
            str(member["seed"]),
            member["status"],
            f"{member['progress']:.0%}",
        )
        for member in study["members"]
    ]
    print_table(("job", "condition", "seed", "status", "done"), members, empty="no jobs")


def condition_text(condition: Mapping[str, Any]) -> str:
    """The values of a condition, or `base` if the study has no grid."""
    return ", ".join(f"{field}={value}" for field, value in condition.items()) or "base"


def counts_text(counts: Mapping[str, int]) -> str:
    """The number of jobs with each status, as text."""
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "no jobs"


def follow_study(study: "Study") -> None:
    """Waits until all jobs have ended; prints the number of jobs by status when it changes.

    Ctrl-C stops only the waiting.

    Raises:
        CommandError: If the user detached.
    """
    last = ""

    def advance(data: Body) -> None:
        nonlocal last
        text = counts_text(data["counts"])
        if text != last:
            print_note(text)
        last = text

    try:
        study.wait(advance=advance)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"detached; study {study.id} continues",
            hint=f"`babylm study-show {study.id}` shows it, `babylm study-cancel {study.id}` "
            "ends it.",
            status=INTERRUPTED,
        ) from error


def _cells(summary: Body | None) -> tuple[str, str, str, str]:
    if summary is None:
        return "0", "", "", ""
    deviation = summary["deviation"]
    spread = "" if deviation is None else f" ± {deviation:.4f}"
    verdict = VERDICTS.get(summary["verdict"] or "", "")
    if summary["difference"] is not None:
        verdict = f"{summary['difference']:+.4f} {verdict}"
    return str(summary["n"]), f"{summary['mean']:.4f}{spread}", f"{summary['best']:.4f}", verdict
