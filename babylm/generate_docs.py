"""Writes docs/cli.md (`python -m babylm.generate_docs`); a test fails if the page is stale."""

import sys

from typer.models import CommandInfo
from typer.testing import CliRunner

from babylm.main import app

WIDTH = 78
"""Characters in a line of the help, as in a terminal of 80 columns."""

INTRODUCTION = """\
# The babylm command

`make serve` and `make demo` install the command as `.venv/bin/babylm`. The command uses the REST
calls of [api.md](api.md), so it also works from another machine.

- **Which service.** `--url`, else `BABYLM_URL`, else the `babylm serve` that uses the same runs
  folder (it writes its address to `runs/service.json`), else `BABYLM_SOCKET`, else `BABYLM_HOST`
  and `BABYLM_PORT`, which are `127.0.0.1:8000` by default. The Python client uses the same order.
- **Which key.** The first key in `BABYLM_API_KEY` is sent as a bearer token to the service that the
  environment names, and to no other: if `--url` names another address, no key is sent. For a
  service with a key, set both `BABYLM_URL` and `BABYLM_API_KEY`.
- **Which job.** An id, its beginning as `babylm jobs` shows it (four characters or more), or
  `last` for the newest.
- **Completion.** After `babylm --install-completion` your shell completes the commands, their
  options and the ids of your jobs.
- **For programs.** `--json` prints JSON, on a single line if the output is not a terminal.
  `follow --json` prints a line for each event. Errors go to standard error, also as JSON.
- **Exit status.** 0 success; 1 the job or the request failed; 2 bad usage, such as a spec that is
  not valid; 130 after Ctrl-C.
- **Ctrl-C** in `follow` and `submit --follow` detaches; the job continues. In `train` the first
  Ctrl-C stops the run at the next step, with a checkpoint; a second one ends the run at once. In
  `serve`, Ctrl-C stops everything that `serve` started, within ten seconds.

This page is written by `python -m babylm.generate_docs`.
"""

EXAMPLES = {
    "submit": """\
babylm submit --preset llama4-10m --set track=strict-small --follow
babylm submit my-spec.yaml --set training.learning_rate=5e-4 --set data.sources='[childes]'
babylm submit --data_folder train_10M --model llama4 --vocab_size 32000 --seq_length 256 \\
  --batch_size 32 --epoch 10 --hidden_size 256 --num_hidden_layers 8 --num_attention_heads 8""",
    "estimate": "babylm estimate --preset gemma2-100m --set training.batch_size=64",
    "train": "babylm train my-spec.yaml --output my-run",
    "lr-find": "babylm lr-find --preset best-cpu --output runs/lr",
    "jobs": "babylm jobs --status running\nbabylm jobs --sort validation/loss --limit 5",
    "show": "babylm show last",
    "follow": "babylm follow last",
    "logs": "babylm logs last --tail 50 --follow",
    "cancel": "babylm cancel 3f2a",
    "pause": "babylm pause last",
    "resume": "babylm resume last",
    "retry": "babylm retry last",
    "delete": "babylm delete 3f2a",
    "study": """\
babylm study my-spec.yaml --grid training.learning_rate=1e-4,5e-4 --seeds 3 --follow
babylm study --preset sample --grid model.dropout=0,0.1 --grid training.epochs=1,3 --seeds 0,7""",
    "studies": "babylm studies",
    "study-show": "babylm study-show last --csv > study.csv",
    "study-seeds": "babylm study-seeds last 5",
    "study-cancel": "babylm study-cancel last",
    "study-resume": "babylm study-resume last",
    "study-delete": "babylm study-delete 3f2a",
    "download": "babylm download last --checkpoint best -o my-model",
    "export": """\
babylm export last --format gguf -o my-model.gguf
babylm export my-run/checkpoints/last -o my-model.gguf""",
    "generate": 'babylm generate last "Once upon a time" --temperature 0.7 --seed 1',
    "evaluate": "babylm evaluate last --task blimp",
    "finetune": """\
babylm finetune last --tasks boolq,rte --follow
babylm finetune 3f2a --checkpoint chck_10M --set finetune.seed=1 --set training.device=cuda""",
    "submission": "babylm submission last --name USER/NAME -o my-submission",
    "budget": "babylm budget last",
    "push": "babylm push last --to USER/NAME",
    "datasets": "babylm datasets",
    "datasets add": """\
babylm datasets add my-text ./texts
babylm datasets add train_10M babylm.zip --folder train_10M
babylm datasets add stories --hub OWNER/NAME --revision main --split train --column story""",
    "datasets download": "babylm datasets download https://example.org/babylm.zip --sha256 3f0c...",
    "datasets delete": "babylm datasets delete my-text",
    "evaluations": "babylm evaluations",
    "evaluations add": """\
babylm evaluations add blimp_fast evaluation_data/fast_eval/blimp_fast
babylm evaluations add cdi_childes cdi_childes.json""",
    "tokenizer": "babylm tokenizer",
    "tokenizer train": "babylm tokenizer train --dataset train_10M --vocab-size 16000 --follow",
    "tokenizer add": "babylm tokenizer add gpt2 my-tokenizer/",
    "tokenizer encode": 'babylm tokenizer encode last "The dogs run."',
    "track": "babylm track last --to tensorboard --to wandb",
    "webhooks": "babylm webhooks",
    "webhooks add": "babylm webhooks add https://example.org/hooks --event job.failed",
    "webhooks delete": "babylm webhooks delete WEBHOOK",
    "webhooks test": "babylm webhooks test WEBHOOK",
    "webhooks deliveries": "babylm webhooks deliveries WEBHOOK --status undelivered",
    "webhooks redeliver": "babylm webhooks redeliver WEBHOOK --undelivered",
    "cache": "babylm cache list",
    "cache list": "babylm cache list",
    "cache prune": "babylm cache prune --max-bytes 10000000000",
    "presets": "babylm presets",
    "workers": "babylm workers --json",
    "open": "babylm open last",
    "top": "babylm top",
    "doctor": "babylm doctor",
    "serve": "babylm serve --port 8080 --workers 2",
    "api": "BABYLM_REDIS_URL=redis://redis:6379/0 babylm api",
    "worker": "BABYLM_REDIS_URL=redis://redis:6379/0 babylm worker --queue train",
    "migrate": "BABYLM_DATABASE_URL=postgresql+psycopg://user@host/babylm babylm migrate",
    "demo": "babylm demo",
    "db": "babylm db copy --help",
    "db copy": "babylm db copy sqlite:///runs/babylm.sqlite3 "
    "postgresql+psycopg://babylm@db.example.org/babylm",
    "provision": "babylm provision slurm",
    "provision slurm": "babylm provision slurm --once",
}


def command_names() -> list[str]:
    """The names of all commands; the commands of a group follow the name of the group."""
    names = [_name(command) for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        names.append(str(group.name))
        names += [
            f"{group.name} {_name(each)}" for each in group.typer_instance.registered_commands
        ]
    return names


def _name(command: CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _block("", _help()), "## Commands\n"]
    for name in command_names():
        parts += [
            f"### babylm {name}\n",
            _block("sh", EXAMPLES[name]),
            _block("", _help(*name.split())),
        ]
    return "\n".join(parts)


def _help(*words: str) -> str:
    # In this process: starting the program once for each command would take half a minute.
    done = CliRunner().invoke(
        app, [*words, "--help"], prog_name="babylm", terminal_width=WIDTH, catch_exceptions=False
    )
    if done.exit_code != 0:
        raise RuntimeError(f"babylm {' '.join(words)} --help: {done.output}")
    return str(done.stdout).strip()


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(page())
