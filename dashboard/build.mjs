// Builds dist/ from src/ and assets/; `--check` compares the result with the committed files.

import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const HERE = import.meta.dirname;
const DIST = join(HERE, "dist");
const SCHEMA = join(HERE, "src/api/schema.ts");
const ASSETS = ["index.html", "docs.html", "docs.js", "icon.svg", "inter.woff2"];
// The files of Swagger UI, which shows the documentation of the API.
const SWAGGER = ["swagger-ui-bundle.js", "swagger-ui.css"];
const LICENSED = ["preact", "@preact/signals-core", "uplot", "swagger-ui-dist"];

async function bundle(folder) {
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: HERE,
    entryPoints: { app: "src/main.tsx", style: "src/styles/index.css" },
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    external: ["/static/inter.woff2"],
    legalComments: "none",
    jsx: "automatic",
    jsxImportSource: "preact",
    logLevel: "warning",
  });
  for (const name of ASSETS) {
    await cp(join(HERE, "assets", name), join(folder, name));
  }
  for (const name of SWAGGER) {
    await cp(join(HERE, "node_modules", "swagger-ui-dist", name), join(folder, name));
  }
  await writeFile(join(folder, "LICENSES.txt"), await licenses());
}

async function licenses() {
  const parts = [];
  for (const name of LICENSED) {
    parts.push(`${name}\n\n${await readFile(join(HERE, "node_modules", name, "LICENSE"), "utf8")}`);
  }
  parts.push(`Inter\n\n${await readFile(join(HERE, "assets", "inter.LICENSE"), "utf8")}`);
  return parts.join("\n\n----\n\n");
}

// The names of the files that differ between `folder` and the folder `committed`.
async function differences(folder, committed) {
  const names = new Set([...(await readdir(folder)), ...(await readdir(committed))]);
  const found = [];
  for (const name of names) {
    const [one, other] = await Promise.all(
      [folder, committed].map((place) => readFile(join(place, name)).catch(() => null)),
    );
    if (!one || !other || !one.equals(other)) found.push(name);
  }
  return found;
}

async function check(document) {
  const fresh = await mkdtemp(join(tmpdir(), "babylm-dashboard-"));
  try {
    await bundle(fresh);
    const stale = (await differences(fresh, DIST)).map((name) => `dist/${name}`);
    types(document, join(fresh, "schema.ts"));
    const [one, other] = await Promise.all(
      [join(fresh, "schema.ts"), SCHEMA].map((file) => readFile(file)),
    );
    if (!one.equals(other)) stale.push("src/api/schema.ts");
    if (stale.length) {
      console.error(`Out of date in dashboard/: ${stale.join(", ")}. Run \`make dashboard\`.`);
      process.exitCode = 1;
    }
  } finally {
    await rm(fresh, { recursive: true });
  }
}

// Writes the TypeScript types of the OpenAPI document, with the values of its enumerations.
function types(document, target) {
  const command = join(HERE, "node_modules", ".bin", "openapi-typescript");
  execFileSync(command, [document, "--enum-values", "-o", target], { cwd: HERE });
}

async function write() {
  await bundle(DIST);
  const fresh = ["app.js", "style.css", "LICENSES.txt", ...ASSETS, ...SWAGGER];
  for (const name of await readdir(DIST)) if (!fresh.includes(name)) await rm(join(DIST, name));
}

const [, , task, document] = process.argv;
if (task === "--check") await check(document);
else if (task === "--types") types(document, SCHEMA);
else await write();
