// The playground: text and surprisal of up to four checkpoints side by side. The address keeps the
// checkpoints and the prompt.

import { useState } from "preact/hooks";
import { checkpointIds } from "../../lib/ids.ts";
import { Failure, PageHead, useTask, useTitle } from "../../ui/page.tsx";
import type { PageProps } from "../index.tsx";
import { Chosen, MOST_CHECKPOINTS } from "./chosen.tsx";
import { Pair } from "./pair.tsx";
import { RunSamples } from "./samples.tsx";
import { Playground } from "./store.ts";
import { Write } from "./write.tsx";

export function PlaygroundPage({ parameters }: PageProps) {
  useTitle("Playground");
  const chosen = checkpointIds(parameters.get("checkpoints"), MOST_CHECKPOINTS);
  const [store, setStore] = useState<Playground | null>(null);
  const { error, again } = useTask(async (signal) => {
    const made = new Playground(signal);
    await made.load(chosen);
    setStore(made);
  }, []);
  if (error) return <Failure error={error} again={again} />;
  if (!store) return null;
  return (
    <>
      <PageHead
        title="Playground"
        note="Compare how up to four checkpoints continue a prompt and score a sentence."
      />
      {store.jobs.value?.length || chosen.length ? (
        <div class="stack">
          <Chosen store={store} chosen={chosen} />
          <Write store={store} chosen={chosen} prompt={parameters.get("prompt")} />
          <Pair store={store} chosen={chosen} />
          <RunSamples store={store} chosen={chosen} />
        </div>
      ) : (
        <NoCheckpoints />
      )}
    </>
  );
}

function NoCheckpoints() {
  return (
    <div class="card empty">
      <h2>No checkpoints yet</h2>
      <p class="soft">Train a model first. You can try it as soon as a checkpoint is saved.</p>
      <a class="button primary" href="#/new">
        New job
      </a>
    </div>
  );
}
