"""The number formats of the dashboard, computed by its TypeScript source in Node."""

import json
import shutil
import subprocess

import pytest

from tests.dashboard.test_bundle import DASHBOARD

PROGRAM = """
import { build } from "esbuild";
const options = { bundle: true, write: false, format: "esm" };
const built = await build({ entryPoints: ["src/lib/format.ts"], ...options });
const source = encodeURIComponent(built.outputFiles[0].text);
const format = await import(`data:text/javascript,${source}`);
const calls = JSON.parse(process.argv[1]);
console.log(JSON.stringify(calls.map(([name, value]) => format[name](value))));
"""
SHOWN = {
    ("count", 950): "950",
    ("count", 9_999.6): "10.0k",
    ("count", 999_990): "1.00M",
    ("count", 999_499_999): "999M",
    ("count", 999_500_000): "1.00B",
    ("tickCount", 2_500_000): "2.5M",
    ("tickCount", 999_990): "1M",
    ("tickCount", -999.99): "-1k",
    ("tickCount", 0): "0",
    ("bytes", 1023): "1023 B",
    ("bytes", 1024 * 1024 - 1): "1.0 MiB",
    ("bytes", 3 << 30): "3.0 GiB",
}


def test_the_unit_is_that_of_the_rounded_number():
    if shutil.which("node") is None or not (DASHBOARD / "node_modules").is_dir():
        pytest.skip("node_modules is not installed: make dashboard")
    command = ["node", "--input-type=module", "-e", PROGRAM, json.dumps(list(SHOWN))]
    answer = subprocess.run(command, cwd=DASHBOARD, capture_output=True, text=True)
    assert json.loads(answer.stdout or "[]") == list(SHOWN.values()), answer.stderr
