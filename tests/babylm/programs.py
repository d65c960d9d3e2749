"""A small service for the tests of `serve`, which start these programs.

python programs.py serve FOLDER [--no-broker]   runs `api` and `worker` below until a signal
python programs.py api                          answers /healthz on BABYLM_PORT
python programs.py worker [--stubborn]          starts a child in a new session, and then sleeps
"""

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    what, *words = sys.argv[1:]
    {"serve": serve_here, "api": api, "worker": worker, "broken": broken}[what](words)


def serve_here(words: list[str]) -> None:
    from babylm.broker import find_broker
    from babylm.errors import CommandError
    from babylm.serve import GRACE_SECONDS, Plan, serve

    folder = Path(words[0])
    this = [sys.executable, __file__]
    stubborn = ["--stubborn"] if "--stubborn" in words else []
    plan = Plan(
        runs_dir=folder / "runs",
        data_dir=folder / "data",
        host="127.0.0.1",
        port=0,
        redis_url=None,
        migrate=lambda: None,
        api=[*this, "broken" if "--broken" in words else "api"],
        workers={"worker": [*this, "worker", *stubborn]},
        environment=dict(os.environ),
        grace_seconds=3600.0 if "--patient" in words else GRACE_SECONDS,
        find_broker=(lambda _: None) if "--no-broker" in words else find_broker,
    )
    try:
        serve(plan)
    except CommandError as error:
        sys.stderr.write(error.message)
        sys.exit(error.status)


def broken(_: list[str]) -> None:
    sys.stderr.write("ERROR the key is missing\n")
    sys.exit(3)


def api(_: list[str]) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = os.environ.get("BABYLM_REDIS_URL", "none").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http.server.HTTPServer(("127.0.0.1", int(os.environ["BABYLM_PORT"])), Handler).serve_forever()


def worker(words: list[str]) -> None:
    if "--stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Like a training process, the child has its own session and ends when its standard input
    # closes. The child of a stubborn worker ignores its standard input.
    code = "import time; time.sleep(600)" if words else "import sys; sys.stdin.read()"
    grandchild = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, start_new_session=True
    )
    sys.stdout.write(f"WARNING started {grandchild.pid}\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main()
