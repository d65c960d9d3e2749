// The choices of the comparison, which the address contains.

import { isJobId } from "../../lib/ids.ts";
import { setParameters } from "../../router.ts";

export interface Choice {
  // The ids of the jobs.
  jobs: string[];
  // Whether jobs that differ only in their seed are one entry.
  isGrouped: boolean;
  // The job whose entry is the baseline.
  baseline: string | null;
  // The ids of the entries that are hidden.
  hidden: string[];
  // The fields of the scatter plot; null: chosen by the page.
  x: string | null;
  y: string | null;
  // The axes of the scatter plot that are logarithmic; null: chosen by the page.
  log: string | null;
  // The fields of the parallel coordinates; null: chosen by the page.
  axes: string[] | null;
}

function list(text: string | null): string[] {
  return [...new Set((text ?? "").split(",").filter(Boolean))];
}

export function readChoice(parameters: URLSearchParams): Choice {
  const axes = parameters.get("axes");
  return {
    jobs: list(parameters.get("jobs")).filter(isJobId),
    isGrouped: parameters.get("group") === "seeds",
    baseline: parameters.get("baseline"),
    hidden: list(parameters.get("hidden")),
    x: parameters.get("x"),
    y: parameters.get("y"),
    log: parameters.get("log"),
    axes: axes === null ? null : list(axes),
  };
}

export function chooseJobs(ids: string[]) {
  setParameters({ jobs: ids.join(","), hidden: "" });
}

export function hide(ids: Iterable<string>) {
  setParameters({ hidden: [...ids].join(",") });
}
