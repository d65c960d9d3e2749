"""Polls `/healthz` from a process of its own until its standard input ends.

    python -m benchmarks.health_watch PORT

The command prints a first line when it starts, and the answers as JSON at the end.
"""

import asyncio
import json
import select
import sys
from contextlib import closing

from benchmarks.bench_load import HEALTH_SECONDS, Answers, Connections


def main() -> None:
    answers = Answers()
    print("started", flush=True)
    while not select.select([sys.stdin], [], [], HEALTH_SECONDS)[0]:
        asyncio.run(_ask(int(sys.argv[1]), answers))
    print(json.dumps({"seconds": answers.seconds, "statuses": answers.statuses}))


async def _ask(port: int, answers: Answers) -> None:
    with closing(Connections(port)) as connections:
        await connections.ask(answers, "/healthz")


if __name__ == "__main__":
    main()
