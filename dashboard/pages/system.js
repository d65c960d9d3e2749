// The machine room: workers and their devices, the queue, disks, cache, versions.

import { get, poll } from "/static/api.js";
import { card, el, numbers, put, putIfChanged, table } from "/static/dom.js";
import { ago, bytes, exact, percent } from "/static/format.js";

const LOOK_MILLISECONDS = 2500;
const NAMES = { train: "trains", short: "short work (text, evaluations)" };

export async function show({ page, signal, connection }) {
  document.title = "System – BabyLM";
  const ready = el("div");
  const workers = el("div");
  const rest = el("div");
  put(page, el("div", { class: "page-head" }, el("h1", {}, "System")), el("div", { class: "stack" }, ready, workers, rest));
  await poll(async () => {
    const [{ data }, system, health] = await Promise.all([get("/v1/workers", { signal }), get("/v1/system", { signal }), readiness(signal)]);
    if (signal.aborted) return;
    putIfChanged(ready, [health, system.queue], () => readyCard(health, system.queue));
    putIfChanged(workers, data.map(({ seen_at: _, ...worker }) => worker), () => workersCard(data));
    putIfChanged(rest, [system.disks, system.cache, system.versions], () => restCards(system));
  }, { signal, onConnection: connection, milliseconds: LOOK_MILLISECONDS });
}

// 503 is an answer here: it says what is missing.
async function readiness(signal) {
  const response = await fetch("/readyz", { signal });
  return (await response.json()).checks;
}

function readyCard(checks, queue) {
  return card("Now", el("div", { class: "bar checks" }, Object.entries(checks).map(([name, state]) =>
    el("span", { class: `status ${state === "ok" ? "succeeded" : state === "polling" ? "paused" : "failed"}` }, `${name}: ${state}`))),
  el("div", { class: "below" }, numbers([["Running", exact(queue.running)], ["Queued", exact(queue.queued)], ["Paused", exact(queue.paused)], ["Short work waiting", exact(queue.short)]])));
}

function workersCard(workers) {
  return card("Workers", workers.length ? el("div", { class: "stack" }, workers.map((worker) => el("article", { class: "worker" },
    el("div", { class: "bar spread" }, el("h3", {}, worker.id), el("span", { class: "soft small" }, [NAMES[worker.queue] ?? worker.queue, `${exact(worker.slots)} at a time`, `process ${worker.pid}`, `started ${ago(worker.started_at)}`].join(" · "))),
    worker.jobs.length > 0 && el("p", { class: "small" }, "Runs ", worker.jobs.map((id, index) => [index ? ", " : "", el("a", { href: `#/jobs/${id}` }, id.slice(0, 8))])),
    worker.queue === "train" && worker.devices.map(deviceNode)))) : el("p", { class: "notice" }, "No worker is alive: jobs wait until one is started with ", el("code", {}, "babylm worker"), "."));
}

function deviceNode(device) {
  const used = device.memory_used_bytes;
  const rows = [];
  if (used !== undefined && used !== null) rows.push(["Memory", used, device.memory_bytes, `${bytes(used)} of ${bytes(device.memory_bytes)}`]);
  if (device.utilization !== undefined && device.utilization !== null) rows.push(["Busy", device.utilization, 1, percent(device.utilization)]);
  const facts = [device.kind === "cpu" && device.cores && `${device.cores} cores`, rows.length === 0 || used === undefined ? bytes(device.memory_bytes) : null,
    device.temperature_celsius != null && `${Math.round(device.temperature_celsius)} °C`, device.power_watts != null && `${Math.round(device.power_watts)} W`].filter(Boolean);
  return el("div", { class: "device" }, el("div", { class: "bar spread small" }, el("b", {}, `${device.kind === "cuda" ? `GPU ${device.index}` : "CPU"}: ${device.name}`), el("span", { class: "soft" }, facts.join(" · "))),
    el("div", { class: "bars" }, rows.flatMap(([name, value, most, text]) => [el("span", {}, name), el("meter", { min: 0, max: most, value, high: most * 0.92, "aria-label": `${name} of ${device.name}: ${text}` }), el("span", { class: "soft" }, text)])));
}

function restCards({ disks, cache, versions, platform }) {
  return el("div", { class: "halves" },
    card("Disk", el("div", { class: "bars" }, Object.entries(disks).flatMap(([name, disk]) => {
      const used = disk.total_bytes - disk.free_bytes;
      return [el("span", {}, name), el("meter", { min: 0, max: disk.total_bytes, value: used, high: disk.total_bytes * 0.9, "aria-label": `Disk of ${name}: ${bytes(disk.free_bytes)} free` }), el("span", { class: "soft" }, `${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`)];
    })), el("p", { class: "soft small below" }, `The cache of stage results holds ${exact(cache.entries)} entries, ${bytes(cache.bytes)}${cache.limit_bytes ? ` of at most ${bytes(cache.limit_bytes)}` : ""}.`)),
    card("Versions", table(["Part", "Version"], [...Object.entries(versions), ["platform", el("span", { class: "small anywhere" }, platform)]], { caption: "Versions" })));
}
