// A spec as YAML, and the commands that submit the spec.

import { hasKey } from "../api/client.ts";
import type { Spec } from "../api/types.ts";

const PLAIN = /^[A-Za-z_][\w ./-]*$/;
const RESERVED = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

function isPlain(value: unknown): value is string {
  return (
    typeof value === "string" && PLAIN.test(value) && !RESERVED.test(value) && !value.endsWith(" ")
  );
}

function scalar(value: unknown): string {
  if (isPlain(value)) return value;
  // In YAML 1.1, 5e-8 is text and 5.0e-8 is a number.
  if (typeof value === "number") return String(value).replace(/^(-?\d+)e/, "$1.0e");
  return JSON.stringify(value);
}

export function yaml(value: Spec, indent = ""): string {
  return Object.entries(value)
    .map(([key, item]) => {
      if (Array.isArray(item)) return `${indent}${key}: [${item.map(scalar).join(", ")}]\n`;
      if (item !== null && typeof item === "object") {
        return `${indent}${key}:\n${yaml(item, `${indent}  `)}`;
      }
      return `${indent}${key}: ${scalar(item)}\n`;
    })
    .join("");
}

function quoted(text: string) {
  return /^[\w.,=/:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function curl(spec: Spec): string {
  const key = hasKey() ? '  -H "Authorization: Bearer $BABYLM_API_KEY" \\\n' : "";
  const type = "  -H 'Content-Type: application/json' \\\n";
  return `curl -s ${location.origin}/v1/jobs \\\n${key}${type}  -d ${quoted(JSON.stringify(spec))}`;
}

export function command(spec: Spec, settings: [path: string, value: unknown][]): string {
  const parts = ["babylm submit"];
  if (spec.preset) parts.push(`--preset ${quoted(spec.preset)}`);
  for (const [path, value] of settings) {
    if (path === "preset") continue;
    const text = isPlain(value) ? value : JSON.stringify(value);
    parts.push(`--set ${quoted(`${path}=${text}`)}`);
  }
  return [...parts, "--follow"].join(" \\\n  ");
}

// A Python literal: like JSON, except for `True`, `False` and `None`.
function literal(value: unknown, indent = ""): string {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map((item) => literal(item, indent)).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const entries = Object.entries(value as object).map(
    ([key, item]) => `${inner}${JSON.stringify(key)}: ${literal(item, inner)},\n`,
  );
  return entries.length ? `{\n${entries.join("")}${indent}}` : "{}";
}

export function python(spec: Spec): string {
  const key = hasKey()
    ? 'headers = {"Authorization": f"Bearer {os.environ[\'BABYLM_API_KEY\']}"}\n'
    : "";
  const parts = [
    `${hasKey() ? "import os\n\n" : ""}import httpx`,
    `${key}spec = ${literal(spec)}`,
    `answer = httpx.post("${location.origin}/v1/jobs", json=spec${hasKey() ? ", headers=headers" : ""})`,
    'answer.raise_for_status()\nprint(answer.json()["id"])',
  ];
  return `${parts.join("\n\n")}\n`;
}
