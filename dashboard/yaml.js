// A spec as YAML, and as the commands that submit it.

import { hasKey } from "/static/api.js";

const PLAIN = /^[A-Za-z_][\w ./-]*$/;
const RESERVED = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

function scalar(value) {
  if (typeof value === "string" && PLAIN.test(value) && !RESERVED.test(value) && !value.endsWith(" ")) return value;
  // 5e-8 is text to YAML 1.1, 5.0e-8 a number.
  if (typeof value === "number") return String(value).replace(/^(-?\d+)e/, "$1.0e");
  return JSON.stringify(value);
}

export function yaml(value, indent = "") {
  return Object.entries(value).map(([key, item]) => {
    if (Array.isArray(item)) return `${indent}${key}: [${item.map(scalar).join(", ")}]\n`;
    if (item !== null && typeof item === "object") return `${indent}${key}:\n${yaml(item, `${indent}  `)}`;
    return `${indent}${key}: ${scalar(item)}\n`;
  }).join("");
}

function quoted(text) {
  return /^[\w.,=/:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function curl(spec) {
  const key = hasKey() ? '  -H "Authorization: Bearer $BABYLM_API_KEY" \\\n' : "";
  return `curl -s ${location.origin}/v1/jobs \\\n${key}  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(spec))}`;
}

export function babylm(spec, settings) {
  const parts = ["babylm submit"];
  if (spec.preset) parts.push(`--preset ${quoted(spec.preset)}`);
  for (const [path, value] of settings) {
    if (path === "preset") continue;
    const text = typeof value === "string" && PLAIN.test(value) && !RESERVED.test(value) ? value : JSON.stringify(value);
    parts.push(`--set ${quoted(`${path}=${text}`)}`);
  }
  return [...parts, "--follow"].join(" \\\n  ");
}
