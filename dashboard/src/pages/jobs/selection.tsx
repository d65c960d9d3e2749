// The actions on the selected jobs.

import { Refused } from "../../api/client.ts";
import type { Job } from "../../api/types.ts";
import { act, confirmCancel, erase, isFinal, label } from "../../lib/jobs.ts";
import { announce } from "../../lib/state.ts";
import { Button } from "../../ui/controls.tsx";
import type { JobList } from "./store.ts";

interface Props {
  list: JobList;
  // The grouping of the list, which is passed on to the page that compares the jobs.
  group: string;
  lookAgain: () => void;
}

export function Selection({ list, group, lookAgain }: Props) {
  const jobs = [...list.chosen.value.values()];
  if (!jobs.length) return null;
  const open = jobs.filter((job) => !isFinal(job));
  const ended = jobs.filter(isFinal);
  const done = () => {
    list.chosen.value = new Map();
    lookAgain();
  };
  const cancel = async () => {
    if (await cancelAll(open)) done();
  };
  const areArchived = jobs.every(({ archived }) => archived);
  const archive = async () => {
    for (const job of jobs) await label(job, { archived: !areArchived });
    done();
  };
  const remove = async () => {
    if (await erase(ended)) done();
  };
  return (
    <section class="bar selected-bar" aria-label="Selected jobs">
      <b>{jobs.length} selected</b>
      <a class="button" href={compareAddress(jobs, group)}>
        Compare
      </a>
      {open.length > 0 && (
        <Button class="danger" act={cancel}>
          Cancel {open.length}
        </Button>
      )}
      {ended.length > 0 && (
        <Button class="danger" act={remove}>
          Delete {ended.length}
        </Button>
      )}
      <Button act={archive}>{areArchived ? "Restore" : "Archive"}</Button>
      <button type="button" class="quiet" onClick={() => list.choose(jobs, false)}>
        Clear
      </button>
    </section>
  );
}

function compareAddress(jobs: Job[], group: string) {
  const ids = jobs.map(({ id }) => id).join(",");
  return `#/compare?jobs=${ids}${group && `&group=${group}`}`;
}

async function cancelAll(jobs: Job[]) {
  if (!(await confirmCancel(jobs))) return false;
  let refused = 0;
  for (const job of jobs) {
    try {
      await act(job, "cancel");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused += 1;
    }
  }
  const note = refused ? `, ${refused} had already ended` : "";
  announce(`${jobs.length - refused} jobs cancelled${note}`);
  return true;
}
