// Ids and names in an address, which are checked before a request contains them.

const JOB = /^[0-9a-f]{32}$/;
const CHECKPOINT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DATASET = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const TASK = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

export const isJobId = (text: string) => JOB.test(text);
export const isCheckpointName = (text: string) => CHECKPOINT.test(text);
export const isTaskName = (text: string) => TASK.test(text);
export const isDatasetName = (text: string) => DATASET.test(text);

export interface CheckpointId {
  job: string;
  name: string;
}

// `JOB:CHECKPOINT,JOB:CHECKPOINT` in an address; invalid and repeated entries are left out.
export function checkpointIds(text: string | null, most: number): CheckpointId[] {
  const entries = [...new Set((text ?? "").split(","))].map((entry) => entry.split(":"));
  return entries
    .filter(([job, name, rest]) => isJobId(job) && isCheckpointName(name ?? "") && !rest)
    .map(([job, name]) => ({ job, name }))
    .slice(0, most);
}

export const keyOf = ({ job, name }: CheckpointId) => `${job}:${name}`;
