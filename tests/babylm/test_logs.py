"""`babylm logs` against a stub of the service."""

import pytest

from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer

JOB = {"id": "job-1", "status": "running"}


def test_logs_are_printed_without_control_sequences(run, stub):
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB)
    stub.routes["GET /v1/jobs/job-1/logs"] = Answer(200, b"one\n\x1b[31mtwo\n")
    assert run("logs", "job-1", "--tail", "2", "--url", stub.url).stdout == "one\n?[31mtwo\n"
    assert "tail=2" in stub.requests[-1].path


@pytest.mark.parametrize(("status", "exit_code"), [("running", 1), ("succeeded", 0)])
def test_a_followed_log_that_ends_before_the_job_is_an_error(run, stub, status, exit_code):
    stub.routes["GET /v1/jobs/job-1"] = Answer(200, JOB | {"status": status})
    stub.routes["GET /v1/jobs/job-1/logs"] = Answer(200, b"one\n")
    result = run("logs", "job-1", "-f", "--url", stub.url)
    assert result.stdout == "one\n"
    if exit_code:
        assert "ended the log before the job ended" in error_of(result).message
    else:
        assert result.exit_code == 0
