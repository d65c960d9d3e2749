"""Names in the paths of requests."""

from urllib.parse import quote

from babylm.client.errors import InvalidUsage

NAME_RULE = (
    "A name has at most {} letters, digits, '.', '_' and '-', and begins with a letter or digit."
)
RULES = {
    "dataset": NAME_RULE.format(64),
    "evaluation task": NAME_RULE.format(40),
    "tokenizer": NAME_RULE.format(64),
    "job": "`babylm jobs` lists the ids.",
    "study": "`babylm studies` lists the ids.",
    "webhook": "`babylm webhooks` lists the ids.",
    "delivery": "`babylm webhooks deliveries WEBHOOK` lists the ids.",
    "checkpoint": "`babylm show JOB` lists the checkpoints.",
}
"""What to do if a name is not valid, by the kind of the thing that it names."""


def path_part(name: str, kind: str) -> str:
    """The name, quoted as one part of a path.

    A part that is empty, `.` or `..`, or that has a slash, would lead to another path: HTTP clients
    and servers resolve it even if it is quoted.

    Args:
        name: A name that the user gave.
        kind: A key of `RULES`.

    Raises:
        InvalidUsage: If no such thing can have this name.
    """
    article = "an" if kind[0] in "aeiou" else "a"
    what = "an id" if kind in ("job", "study", "webhook", "delivery") else "a name"
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InvalidUsage(f"{name!r} cannot be {what} of {article} {kind}", hint=RULES[kind])
    return quote(name, safe="")
