// The choice of up to four checkpoints, which the address contains.

import { useState } from "preact/hooks";
import { type CheckpointId, keyOf } from "../../lib/ids.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";
import type { Playground } from "./store.ts";

export const MOST_CHECKPOINTS = 4;

interface Props {
  store: Playground;
  chosen: CheckpointId[];
}

export function Chosen({ store, chosen }: Props) {
  const choose = (wanted: CheckpointId[]) =>
    setParameters({ checkpoints: wanted.map(keyOf).join(",") });
  return (
    <Card title="Checkpoints">
      {chosen.length > 0 && (
        <ul class="picked" aria-label="Chosen checkpoints">
          {chosen.map((one) => (
            <li key={keyOf(one)}>
              <a href={`#/jobs/${one.job}`}>{store.labelOf(one)}</a>
              <button
                type="button"
                class="quiet"
                aria-label={`Remove ${store.labelOf(one)}`}
                onClick={() => choose(chosen.filter((other) => keyOf(other) !== keyOf(one)))}
              >
                Remove
              </button>
            </li>
          ))}
        </ul>
      )}
      {chosen.length < MOST_CHECKPOINTS ? (
        <Picker store={store} chosen={chosen} add={(one) => choose([...chosen, one])} />
      ) : (
        <p class="soft small">
          {MOST_CHECKPOINTS} checkpoints fit side by side. Remove one to add another.
        </p>
      )}
    </Card>
  );
}

interface PickerProps extends Props {
  add: (one: CheckpointId) => void;
}

function Picker({ store, chosen, add }: PickerProps) {
  const jobs = store.jobs.value ?? [];
  const [job, setJob] = useState("");
  const [name, setName] = useState("");
  const [fault, setFault] = useState({ job: "", message: "" });
  const taken = new Set(chosen.map(keyOf));
  const known = store.checkpoints.value.get(job);
  const names = (known ?? []).filter((one) => !taken.has(keyOf({ job, name: one })));
  const picked = names.includes(name) ? name : (names[0] ?? "");
  const chooseJob = (id: string) => {
    setJob(id);
    setFault({ job: "", message: "" });
    if (!id) return;
    store.readCheckpoints(id).catch(({ message }: Error) => setFault({ job: id, message }));
  };
  const message = fault.job === job ? fault.message : "";
  return (
    <div class="task">
      <label>
        Job
        <select value={job} onChange={(event) => chooseJob(event.currentTarget.value)}>
          <option value="">choose a job</option>
          {jobs.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name} ({one.id.slice(0, 6)})
            </option>
          ))}
        </select>
      </label>
      <label>
        Checkpoint
        <select
          value={picked}
          disabled={!names.length}
          onChange={(event) => setName(event.currentTarget.value)}
        >
          {!names.length && <option value="">{whyEmpty(job, Boolean(known), message)}</option>}
          {names.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <Button disabled={!picked} act={() => add({ job, name: picked })}>
        Add
      </Button>
      {message && (
        <p class="notice error" role="alert">
          The checkpoints of this job could not be loaded: {message}
        </p>
      )}
    </div>
  );
}

function whyEmpty(job: string, isKnown: boolean, fault: string) {
  if (!job) return "choose a job first";
  if (isKnown) return "no other checkpoint";
  return fault ? "not loaded" : "loading";
}
