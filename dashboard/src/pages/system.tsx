// Workers and their devices, the queue, disks, the cache, versions.

import { useState } from "preact/hooks";
import { get } from "../api/client.ts";
import { poll } from "../api/stream.ts";
import type { System, Worker } from "../api/types.ts";
import { ago, bytes, exact, percent, plural } from "../lib/format.ts";
import { Card, Numbers, Table } from "../ui/card.tsx";
import { Failure, PageHead, useTask, useTitle } from "../ui/page.tsx";

const LOOK_MILLISECONDS = 2500;
const QUEUES: Record<string, string> = {
  train: "training jobs",
  short: "short tasks (text generation, evaluation)",
};
const CHECK_STATUS: Record<string, string> = { ok: "succeeded", polling: "paused" };

interface State {
  workers: Worker[];
  system: System;
  checks: Record<string, string>;
}

// The status 503 is a valid answer here: its body lists the failed checks.
async function readiness(signal: AbortSignal): Promise<Record<string, string>> {
  const response = await fetch("/readyz", { signal });
  return (await response.json()).checks;
}

export function SystemPage() {
  useTitle("System");
  const [state, setState] = useState<State | null>(null);
  const { error, again } = useTask(
    (signal) =>
      poll(
        async () => {
          const [{ data }, system, checks] = await Promise.all([
            get<{ data: Worker[] }>("/v1/workers", signal),
            get<System>("/v1/system", signal),
            readiness(signal),
          ]);
          setState({ workers: data, system, checks });
        },
        signal,
        LOOK_MILLISECONDS,
      ),
    [],
  );
  if (error) return <Failure error={error} again={again} />;
  return (
    <>
      <PageHead title="System" />
      {state && (
        <div class="stack">
          <Now checks={state.checks} queue={state.system.queue} />
          <Workers workers={state.workers} />
          <div class="halves">
            <Disks system={state.system} />
            <Versions system={state.system} />
          </div>
        </div>
      )}
    </>
  );
}

function Now({ checks, queue }: { checks: State["checks"]; queue: System["queue"] }) {
  return (
    <Card title="Status">
      <div class="bar checks">
        {Object.entries(checks).map(([name, state]) => (
          <span key={name} class={`status ${CHECK_STATUS[state] ?? "failed"}`}>
            {name}: {state}
          </span>
        ))}
      </div>
      <div class="below">
        <Numbers
          facts={[
            ["Running", exact(queue.running)],
            ["Queued", exact(queue.queued)],
            ["Paused", exact(queue.paused)],
            ["Short tasks waiting", exact(queue.short)],
          ]}
        />
      </div>
    </Card>
  );
}

function Workers({ workers }: { workers: Worker[] }) {
  return (
    <Card title="Workers">
      {workers.length > 0 ? (
        <div class="stack">
          {workers.map((worker) => (
            <WorkerPart key={worker.id} worker={worker} />
          ))}
        </div>
      ) : (
        <p class="notice">
          No worker is running. Jobs wait until you start one with <code>babylm worker</code>.
        </p>
      )}
    </Card>
  );
}

function WorkerPart({ worker }: { worker: Worker }) {
  const facts = [
    QUEUES[worker.queue] ?? worker.queue,
    `${exact(worker.slots)} at a time`,
    `process ${worker.pid}`,
    `started ${ago(worker.started_at)}`,
  ];
  return (
    <article class="worker">
      <div class="bar spread">
        <h3>{worker.id}</h3>
        <span class="soft small">{facts.join(" · ")}</span>
      </div>
      {worker.jobs.length > 0 && (
        <p class="small">
          Running:{" "}
          {worker.jobs.map((id, index) => (
            <>
              {index > 0 && ", "}
              <a href={`#/jobs/${id}`}>{id.slice(0, 8)}</a>
            </>
          ))}
        </p>
      )}
      {worker.queue === "train" &&
        worker.devices.map((device) => (
          <Device key={`${device.kind} ${device.index}`} device={device as unknown as DeviceRead} />
        ))}
    </article>
  );
}

interface DeviceRead {
  index: number;
  kind: string;
  name: string;
  cores?: number;
  memory_bytes: number;
  memory_used_bytes?: number | null;
  utilization?: number | null;
  temperature_celsius?: number | null;
  power_watts?: number | null;
}

function isKnown(value: number | null | undefined): value is number {
  return value !== null && value !== undefined;
}

function Device({ device }: { device: DeviceRead }) {
  const { kind, name, memory_used_bytes: used, utilization, memory_bytes: memory } = device;
  const facts = [
    kind === "cpu" && device.cores && `${device.cores} cores`,
    !isKnown(used) && bytes(memory),
    isKnown(device.temperature_celsius) && `${Math.round(device.temperature_celsius)} °C`,
    isKnown(device.power_watts) && `${Math.round(device.power_watts)} W`,
  ].filter(Boolean);
  return (
    <div class="device">
      <div class="bar spread small">
        <b>
          {kind === "cuda" ? `GPU ${device.index}` : "CPU"}: {name}
        </b>
        <span class="soft">{facts.join(" · ")}</span>
      </div>
      <div class="bars">
        {isKnown(used) && (
          <Meter
            name="Memory"
            of={name}
            value={used}
            most={memory}
            text={`${bytes(used)} of ${bytes(memory)}`}
          />
        )}
        {isKnown(utilization) && (
          <Meter
            name="Utilization"
            of={name}
            value={utilization}
            most={1}
            text={percent(utilization)}
          />
        )}
      </div>
    </div>
  );
}

interface MeterProps {
  name: string;
  of: string;
  value: number;
  most: number;
  text: string;
}

function Meter({ name, of, value, most, text }: MeterProps) {
  return (
    <>
      <span>{name}</span>
      <meter
        min={0}
        max={most}
        value={value}
        high={most * 0.92}
        aria-label={`${name} of ${of}: ${text}`}
      />
      <span class="soft">{text}</span>
    </>
  );
}

function Disks({ system }: { system: System }) {
  const { cache } = system;
  const limit = cache.limit_bytes ? ` of at most ${bytes(cache.limit_bytes)}` : "";
  return (
    <Card title="Disk">
      <div class="bars">
        {Object.entries(system.disks).map(([name, disk]) => (
          <Meter
            key={name}
            name={name}
            of="the disk"
            value={disk.total_bytes - disk.free_bytes}
            most={disk.total_bytes}
            text={`${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`}
          />
        ))}
      </div>
      <p class="soft small below">
        The cache of stage results holds {plural(cache.entries, "entry", "entries")},{" "}
        {bytes(cache.bytes)}
        {limit}.
      </p>
    </Card>
  );
}

function Versions({ system }: { system: System }) {
  const platform = (
    <span key="platform" class="small anywhere">
      {system.platform}
    </span>
  );
  return (
    <Card title="Versions">
      <Table
        caption="Versions"
        heads={["Component", "Version"]}
        rows={[...Object.entries(system.versions), ["platform", platform]]}
      />
    </Card>
  );
}
