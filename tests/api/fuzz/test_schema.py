"""Checks with Schemathesis, on a real server, that the service follows its OpenAPI document."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.fuzz.load import REQUESTS, SEED, TIMEOUT_SECONDS
from tests.api.fuzz.server import KEY, MAX_GROWTH_BYTES, running_server

LONG = 10_000
"""Smallest BABYLM_FUZZ_REQUESTS with which the phase `coverage` also runs. This phase tries each
value at its limits, which takes 2,600 requests."""
EXAMPLES = max(1, REQUESTS // 2000)
CONFIG = """\
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

# A spec that fits its schema may name a dataset that does not exist, or a model that is too large.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 413, 422, 503]

# A list with too many items may also be refused as a body with too many values (413).
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 503]

# With `follow`, the log of a queued job is sent until the job ends, so the request would time out.
[[operations]]
include-path = "/v1/jobs/{job_id}/logs"
parameters = { "query.follow" = false }

# A dataset or task exists only after its first upload, so its name has a list of unfinished uploads
# before that, and also after its deletion.
[[operations]]
include-path-regex = "/uploads$"
checks.use_after_free.enabled = false
"""


@pytest.mark.timeout(TIMEOUT_SECONDS)
@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_the_service_follows_its_openapi_document(tmp_path: Path, key: str | None):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    phases = "coverage,fuzzing,stateful" if REQUESTS >= LONG else "fuzzing,stateful"
    options = ["--checks", "all", "--phases", phases, "--seed", str(SEED), "--no-color"]
    options += ["--max-examples", str(EXAMPLES), "--warnings", "off"]
    with running_server(tmp_path, key=key) as server:
        if key is not None:
            options += ["--header", f"Authorization: Bearer {key}"]
        before = server.resident_bytes
        program = Path(sys.executable).with_name("schemathesis")
        found = subprocess.run(
            [program, "--config-file", config, "run", f"{server.url}/openapi.json", *options],
            cwd=tmp_path,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
        )
        growth = server.resident_bytes - before
        assert server.is_healthy()
        log = server.log.read_text(errors="replace")
    print(found.stdout[-400:], f"{growth / 1e6:.1f} MB")  # noqa: T201
    lines = "\n".join(line[:1000] for line in found.stdout.splitlines())  # a body may be 1 MB
    assert found.returncode == 0, lines[-20_000:] + found.stderr[-2000:]
    assert "Traceback" not in log, log[-5000:]
    assert growth <= MAX_GROWTH_BYTES
