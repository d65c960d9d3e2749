// Links from the notice of a failed job to the places where a user can remove the cause.

import type { Job } from "../../api/types.ts";

interface Props {
  job: Job;
  error: NonNullable<Job["error"]>;
}

export function Remedies({ job, error }: Props) {
  const link = textLink(job, error);
  return (
    <div class="bar remedies">
      {link && (
        <a class="button" href={link.href}>
          {link.label}
        </a>
      )}
      <a class="button" href={`#/new/${job.id}`}>
        Change the settings
      </a>
      <a class="button" href={`#/jobs/${job.id}?section=log`}>
        Read the log
      </a>
    </div>
  );
}

// A link to the text of the job if the text is the cause; else null.
function textLink(job: Job, { code, message }: Props["error"]) {
  if (!code.startsWith("corpus_")) return null;
  const { dataset, validation } = job.spec.data;
  const words = message.split(/[^\w.-]+/);
  const name = [dataset, validation].find((one) => one && words.includes(one));
  if (code === "corpus_missing" && name) {
    const href = `#/corpora?name=${encodeURIComponent(name)}&job=${job.id}`;
    return { label: `Add the text “${name}”`, href };
  }
  const shown = name ?? dataset;
  return { label: `Open the text “${shown}”`, href: `#/corpora/${encodeURIComponent(shown)}` };
}
