// Short names for the types of the API in schema.ts, which is generated from the OpenAPI document.

import {
  type components,
  finalStatusValues,
  jobReadStageAnyOf0Values,
  jobReadStatusValues,
} from "./schema.ts";

type Schemas = components["schemas"];

export type Status = Schemas["JobRead"]["status"];
export type StageName = NonNullable<Schemas["JobRead"]["stage"]>;
export const STATUSES = jobReadStatusValues as unknown as readonly Status[];
export const FINAL = finalStatusValues as unknown as readonly string[];
export const STAGES = jobReadStageAnyOf0Values as unknown as readonly StageName[];

export interface LatestMetrics {
  step: number;
  words_seen?: number;
  tokens_seen?: number;
  values: Record<string, number | null>;
  // The step at which each value was measured; jobs of older versions have none.
  steps?: Record<string, number>;
}
// Any JSON object. The form is built from the JSON schema of the API, and a stored spec can have
// fields of an older version.
// biome-ignore lint/suspicious/noExplicitAny: a spec is JSON
export type Spec = Record<string, any>;
export type Job = Omit<Schemas["JobRead"], "metrics" | "spec"> & {
  metrics: LatestMetrics | null;
  spec: Spec;
};
export type JobPage = Omit<Schemas["JobPage"], "data"> & { data: Job[] };
export type Checkpoint = Schemas["CheckpointRead"];
export type MetricsRead = Schemas["MetricsRead"];
export type System = Schemas["SystemRead"];
export type Worker = Schemas["WorkerRead"];
export type Tokenizer = Schemas["TokenizerRead"];
export type Study = Schemas["StudyRead"];
export type StudySummary = Schemas["SummaryRead"];
export type Dataset = Schemas["DatasetRead"];
export type Evaluation = Schemas["EvaluationRead"];
export type EvaluationTask = Schemas["TaskRead"];
export type OfficialTask = Schemas["OfficialTaskRead"];
export type OfficialTasks = Schemas["OfficialTaskPage"];
export type Alert = Schemas["AlertRead"];
export type Submission = Schemas["SubmissionRead"];
export type SubmissionReport = Schemas["ReportRead"];
export type Ledger = Schemas["Ledger"];

export interface JobEvent {
  seq: number;
  time: string;
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: each type of event has a payload of its own
  data: any;
}
export interface Problem {
  status?: number;
  detail?: string;
  code?: string;
  errors?: { field: string; message: string }[];
}
