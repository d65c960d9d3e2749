"""Writes docs/api.md (`python -m api.generate_docs`); a test fails if the page is stale."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.app import create_app
from core.events.metrics import CATALOGUE
from core.events.types import PAYLOADS
from jobs.settings import Settings

INTRODUCTION = """\
# The REST API

The dashboard and the `babylm` command use these calls and no others. `/openapi.json` describes
them for programs, `/docs` lists them in the browser.

```sh
URL=http://127.0.0.1:8000   # the address that `make serve` prints
JOB=...                     # the id of a job
```

- **Keys.** If `BABYLM_API_KEY` is set, every call except `/healthz`, `/readyz` and the
  dashboard's own files requires `Authorization: Bearer KEY`.
- **Errors** have the media type `application/problem+json` (RFC 9457) and the fields `status`,
  `code` (stable, for programs) and `detail` (for people). If a request does not match its schema,
  `errors` lists at most 20 faults, each with `field`, `message` and `given`. The most frequent
  statuses are: 400 the body is not JSON; 401 the key is missing or wrong; 404 not found; 409 not
  possible in the current state; 413 too large; 422 invalid; 503 try again after `Retry-After`
  seconds; 507 the disk is full.
- **Limits.** A JSON body has at most 1 MiB and at most 10,000 keys and items. An uploaded file has
  at most `BABYLM_UPLOAD_BYTES` bytes (by default 2 GiB). Unknown fields are refused. At most 200
  event streams and followed logs together may be open, and at most 100 from one address.
- **Downloads** of files and of checkpoint archives support `HEAD`, ranges and an `ETag`, so
  `curl -C -` resumes them.
- **Units.** Times are RFC 3339 in UTC, sizes are in bytes, durations in seconds. A number that is
  not finite is `null`.
- **Pages.** To get the next page of a list, pass the field `next` of a page as the parameter
  `after`. `next` is `null` on the last page.

## Uploading

The body of `POST /v1/datasets/{name}/files?name=FILE` is the file itself: a text file (such as
`.txt` or `.jsonl.gz`, see [Files](corpus.md#files)) or an archive of such files (`.zip`,
`.tar`, `.tar.gz`, `.tgz`). To upload a large file in parts, send each part with
`Content-Range: bytes BEGIN-LAST/SIZE`. The service answers 201 for the last part and 202 for the
parts before it:

```sh
split -b 50M --numeric-suffixes corpus.txt piece.
curl -X POST -T piece.00 -H "Content-Range: bytes 0-52428799/80000000" \\
  "$URL/v1/datasets/mine/files?name=corpus.txt"
curl -X POST -T piece.01 -H "Content-Range: bytes 52428800-79999999/80000000" \\
  "$URL/v1/datasets/mine/files?name=corpus.txt"
```

If the connection breaks, the service keeps the received bytes for a week;
`GET /v1/datasets/{name}/uploads` gives their number. If a part begins after the end of the received
bytes, the answer is 409, and the header `Upload-Offset` gives the byte at which to continue. If you
send `sha256=HASH`, the service checks the hash before it adds the file to the dataset. Text must be
UTF-8.

From an archive the service takes only regular files in one of these text formats. It ignores
their folders; if the archive has several folders, select one with `folder=train_10M`. The service
refuses a damaged archive, and one with links, devices, sparse files, encrypted members or zip
members that are neither stored nor deflated (422). It also refuses an archive (413) if it has more
than 10,000 members, or if its content is larger than 8 GiB, or larger than 16 MiB plus 200 times
the size of the archive.

## Evaluations

A task is a folder `evaluations/TASK` of the data directory with the published files of a BabyLM
evaluation (BLiMP and supplement, EWoK, entity tracking, WUG, COMPS, reading times), or with
`.jsonl` files of minimal pairs (`sentence_good`, `sentence_bad`). The service recognises the kind
of a task by the content of its files, and refuses a file with a line that it cannot parse. Scores
follow the official pipeline: `score` counts a tie as right, `strict_score` counts it as wrong. The
short worker, a process for tasks that must not wait for training, computes an evaluation in slices
of a second. Between two slices it can generate text for another request.

This page is written by `python -m api.generate_docs`.

## Calls
"""

EXAMPLES = {
    "GET /v1/tokenizer-files": 'curl "$URL/v1/tokenizer-files"',
    "POST /v1/tokenizer-files/{name}": """\
curl -X POST -T tokenizer.json "$URL/v1/tokenizer-files/mine\"""",
    "DELETE /v1/tokenizer-files/{name}": 'curl -X DELETE "$URL/v1/tokenizer-files/mine"',
    "POST /v1/jobs": """curl "$URL/v1/jobs" -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: my-first-job' -d '{"preset": "sample"}'""",
    "POST /v1/jobs/estimate": """curl "$URL/v1/jobs/estimate" \\
  -H 'Content-Type: application/json' -d '{"preset": "sample"}'""",
    "GET /v1/jobs": """\
curl "$URL/v1/jobs?status=running&status=succeeded&sort=-evaluation/blimp&limit=20\"""",
    "GET /v1/jobs/{job_id}": 'curl "$URL/v1/jobs/$JOB"',
    "PATCH /v1/jobs/{job_id}": """curl -X PATCH "$URL/v1/jobs/$JOB" \\
  -H 'Content-Type: application/json' -d '{"tags": ["baseline"], "pinned": true}'""",
    "DELETE /v1/jobs/{job_id}": 'curl -X DELETE "$URL/v1/jobs/$JOB"',
    "POST /v1/jobs/{job_id}/cancel": 'curl -X POST "$URL/v1/jobs/$JOB/cancel"',
    "POST /v1/jobs/{job_id}/pause": 'curl -X POST "$URL/v1/jobs/$JOB/pause"',
    "POST /v1/jobs/{job_id}/resume": 'curl -X POST "$URL/v1/jobs/$JOB/resume"',
    "POST /v1/jobs/{job_id}/retry": 'curl -X POST "$URL/v1/jobs/$JOB/retry"',
    "POST /v1/studies": """\
curl "$URL/v1/studies" -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-study' \\
  -d '{"preset": "sample", "grid": {"training.learning_rate": [1e-3, 3e-3]}, "seeds": 3}'""",
    "GET /v1/studies": 'curl "$URL/v1/studies?limit=20"',
    "GET /v1/studies/{study_id}": 'curl "$URL/v1/studies/$STUDY"',
    "GET /v1/studies/{study_id}/csv": 'curl -o study.csv "$URL/v1/studies/$STUDY/csv"',
    "POST /v1/studies/{study_id}/cancel": 'curl -X POST "$URL/v1/studies/$STUDY/cancel"',
    "POST /v1/studies/{study_id}/resume": 'curl -X POST "$URL/v1/studies/$STUDY/resume"',
    "POST /v1/studies/{study_id}/seeds": """\
curl "$URL/v1/studies/$STUDY/seeds" -H 'Content-Type: application/json' -d '{"seeds": 5}'""",
    "DELETE /v1/studies/{study_id}": 'curl -X DELETE "$URL/v1/studies/$STUDY"',
    "GET /v1/alerts": 'curl "$URL/v1/alerts?limit=20"',
    "GET /v1/jobs/{job_id}/events": 'curl "$URL/v1/jobs/$JOB/events?after=0&limit=100"',
    "GET /v1/jobs/{job_id}/events/stream": """\
curl -N -H 'Last-Event-ID: 0' "$URL/v1/jobs/$JOB/events/stream\"""",
    "GET /v1/jobs/{job_id}/metrics": """\
curl "$URL/v1/jobs/$JOB/metrics?names=train/loss,validation/loss&format=csv\"""",
    "GET /v1/metrics": 'curl "$URL/v1/metrics?jobs=$JOB&names=train/loss&max_points=60"',
    "GET /v1/jobs/{job_id}/logs": 'curl "$URL/v1/jobs/$JOB/logs?tail=50"',
    "GET /v1/jobs/{job_id}/checkpoints": 'curl "$URL/v1/jobs/$JOB/checkpoints"',
    "GET /v1/jobs/{job_id}/checkpoints/{name}/files/{path}": """\
curl -C - -O "$URL/v1/jobs/$JOB/checkpoints/last/files/config.json\"""",
    "HEAD /v1/jobs/{job_id}/checkpoints/{name}/files/{path}": """\
curl -I "$URL/v1/jobs/$JOB/checkpoints/last/files/config.json\"""",
    "GET /v1/jobs/{job_id}/checkpoints/{name}/archive": """\
curl -C - -o last.zip "$URL/v1/jobs/$JOB/checkpoints/last/archive\"""",
    "HEAD /v1/jobs/{job_id}/checkpoints/{name}/archive": """\
curl -I "$URL/v1/jobs/$JOB/checkpoints/last/archive\"""",
    "POST /v1/jobs/{job_id}/checkpoints/{name}/generate": """\
curl "$URL/v1/jobs/$JOB/checkpoints/last/generate" -H 'Content-Type: application/json' \\
  -d '{"prompt": "Once upon a time", "max_new_tokens": 40, "temperature": 0.8, "seed": 1}'""",
    "POST /v1/jobs/{job_id}/checkpoints/{name}/generate/stream": """\
curl -N "$URL/v1/jobs/$JOB/checkpoints/last/generate/stream" \\
  -H 'Content-Type: application/json' -d '{"prompt": "Once upon a time", "max_new_tokens": 40}'""",
    "POST /v1/jobs/{job_id}/checkpoints/{name}/surprisal": """\
curl "$URL/v1/jobs/$JOB/checkpoints/last/surprisal" -H 'Content-Type: application/json' \\
  -d '{"texts": ["The dogs run.", "The dogs runs."], "alternatives": 3}'""",
    "POST /v1/jobs/{job_id}/checkpoints/{name}/evaluations": """\
curl "$URL/v1/jobs/$JOB/checkpoints/last/evaluations" \\
  -H 'Content-Type: application/json' -d '{"task": "blimp"}'""",
    "GET /v1/jobs/{job_id}/evaluations": 'curl "$URL/v1/jobs/$JOB/evaluations"',
    "GET /v1/jobs/{job_id}/evaluations/{evaluation}/predictions": """\
curl -o predictions.json "$URL/v1/jobs/$JOB/evaluations/$EVALUATION/predictions\"""",
    "HEAD /v1/jobs/{job_id}/evaluations/{evaluation}/predictions": """\
curl -I "$URL/v1/jobs/$JOB/evaluations/$EVALUATION/predictions\"""",
    "GET /v1/jobs/{job_id}/curves": 'curl "$URL/v1/jobs/$JOB/curves?format=markdown"',
    "POST /v1/evaluations/{task}/files": """\
curl -X POST -T pairs.jsonl "$URL/v1/evaluations/mine/files?name=pairs.jsonl\"""",
    "GET /v1/evaluations/{task}/uploads": 'curl "$URL/v1/evaluations/mine/uploads"',
    "GET /v1/evaluations": 'curl "$URL/v1/evaluations"',
    "GET /v1/evaluations/official": 'curl "$URL/v1/evaluations/official"',
    "GET /v1/jobs/{job_id}/budget": 'curl "$URL/v1/jobs/$JOB/budget"',
    "POST /v1/jobs/{job_id}/submission": """\
curl "$URL/v1/jobs/$JOB/submission" -H 'Content-Type: application/json' \\
  -d '{"repository": "me/my-model"}'""",
    "GET /v1/jobs/{job_id}/submission": 'curl "$URL/v1/jobs/$JOB/submission"',
    "GET /v1/jobs/{job_id}/submissions": 'curl "$URL/v1/jobs/$JOB/submissions"',
    "GET /v1/jobs/{job_id}/submission/manifest": 'curl "$URL/v1/jobs/$JOB/submission/manifest"',
    "GET /v1/jobs/{job_id}/submission/files/{path}": """\
curl -C - -O "$URL/v1/jobs/$JOB/submission/files/report.json\"""",
    "HEAD /v1/jobs/{job_id}/submission/files/{path}": """\
curl -I "$URL/v1/jobs/$JOB/submission/files/report.json\"""",
    "GET /v1/jobs/{job_id}/submission/archive": """\
curl -C - -o submission.tar "$URL/v1/jobs/$JOB/submission/archive\"""",
    "HEAD /v1/jobs/{job_id}/submission/archive": """\
curl -I "$URL/v1/jobs/$JOB/submission/archive\"""",
    "POST /v1/tokenizers": """curl "$URL/v1/tokenizers" -H 'Content-Type: application/json' \\
  -d '{"data": {"dataset": "sample", "validation": "sample_dev"}, \\
"tokenizer": {"vocab_size": 2000}}'""",
    "GET /v1/tokenizers": 'curl "$URL/v1/tokenizers"',
    "POST /v1/tokenizers/{job_id}/encode": """\
curl "$URL/v1/tokenizers/$JOB/encode" -H 'Content-Type: application/json' \\
  -d '{"text": "The dogs run."}'""",
    "GET /v1/datasets": 'curl "$URL/v1/datasets"',
    "GET /v1/datasets/{name}": 'curl "$URL/v1/datasets/sample"',
    "DELETE /v1/datasets/{name}": 'curl -X DELETE "$URL/v1/datasets/mine"',
    "POST /v1/datasets/{name}/files": """\
curl -X POST -T corpus.txt "$URL/v1/datasets/mine/files?name=corpus.txt\"""",
    "DELETE /v1/datasets/{name}/files/{file}": """\
curl -X DELETE "$URL/v1/datasets/mine/files/corpus.txt\"""",
    "POST /v1/datasets/{name}/origins": """\
curl "$URL/v1/datasets/mine/origins" -H 'Content-Type: application/json' \\
  -d '{"repository": "OWNER/NAME", "commit": "0123456789abcdef0123456789abcdef01234567", \\
"files": ["corpus.txt"]}'""",
    "GET /v1/datasets/{name}/uploads": 'curl "$URL/v1/datasets/mine/uploads"',
    "POST /v1/sample": 'curl -X POST "$URL/v1/sample"',
    "POST /v1/webhooks": """\
curl "$URL/v1/webhooks" -H 'Content-Type: application/json' \\
  -d '{"url": "https://example.org/hooks", "events": ["job.failed", "job.alert"]}'""",
    "GET /v1/webhooks": 'curl "$URL/v1/webhooks"',
    "GET /v1/webhooks/{webhook}": 'curl "$URL/v1/webhooks/$WEBHOOK"',
    "DELETE /v1/webhooks/{webhook}": 'curl -X DELETE "$URL/v1/webhooks/$WEBHOOK"',
    "POST /v1/webhooks/{webhook}/test": 'curl -X POST "$URL/v1/webhooks/$WEBHOOK/test"',
    "GET /v1/webhooks/{webhook}/deliveries": """\
curl "$URL/v1/webhooks/$WEBHOOK/deliveries?status=undelivered\"""",
    "POST /v1/webhooks/{webhook}/deliveries/{delivery}/redeliver": """\
curl -X POST "$URL/v1/webhooks/$WEBHOOK/deliveries/$DELIVERY/redeliver\"""",
    "GET /v1/architectures": 'curl "$URL/v1/architectures"',
    "GET /v1/presets": 'curl "$URL/v1/presets"',
    "GET /v1/workers": 'curl "$URL/v1/workers"',
    "GET /v1/system": 'curl "$URL/v1/system"',
    "GET /healthz": 'curl "$URL/healthz"',
    "GET /readyz": 'curl "$URL/readyz"',
    "GET /metrics": 'curl "$URL/metrics"',
}
"""An example command for each call. The tests run all of them."""


def page() -> str:
    """The whole page.

    Raises:
        KeyError: If a call has no example.
    """
    with TemporaryDirectory() as folder:
        description = create_app(Settings(runs_dir=Path(folder))).openapi()
    paths: dict[str, dict[str, Any]] = description["paths"]  # any JSON value
    parts = [INTRODUCTION]
    for path, methods in paths.items():
        for method, call in methods.items():
            parts.append(_call(f"{method.upper()} {path}", call))
    return "\n".join([*parts, _events(), _metrics()])


def _call(name: str, call: dict[str, Any]) -> str:  # any JSON value
    lines = [f"### {name}\n", str(call["description"]).strip() + "\n"]
    query = [each for each in call.get("parameters", []) if each["in"] != "path"]
    if query:
        shown = ", ".join(f"`{each['name']}`" for each in query)
        lines.append(f"Query and headers: {shown}.\n")
    lines.append(f"```sh\n{EXAMPLES[name]}\n```\n")
    return "\n".join(lines)


def _events() -> str:
    lines = ["## Events\n", "| type | fields | meaning |", "| --- | --- | --- |"]
    for name, payload in PAYLOADS.items():
        fields = ", ".join(f"`{field}`" for field in payload.model_fields)
        meaning = (payload.__doc__ or "").split("\n")[0]
        lines.append(f"| `{name}` | {fields} | {meaning} |")
    return "\n".join(lines) + "\n"


def _metrics() -> str:
    lines = ["## Metrics\n", "| name | unit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{each.name}` | {each.unit} | {each.meaning} |" for each in CATALOGUE]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
