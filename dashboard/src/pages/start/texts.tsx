// The first step: the text to train on, and three ways to add one.

import { post } from "../../api/client.ts";
import { plural } from "../../lib/format.ts";
import { isTrainingText, SAMPLE } from "../../lib/texts.ts";
import { setParameters } from "../../router.ts";
import { Card } from "../../ui/card.tsx";
import { Button } from "../../ui/controls.tsx";
import { type Summary, wordsOf } from "../corpora/index.tsx";
import { NewCorpus } from "../corpora/upload.tsx";

const OFFICIAL = ["train_10M", "train_100M", "dev"];

interface Props {
  corpora: Summary[];
  chosen: string | undefined;
  choose: (name: string) => void;
  again: () => void;
}

export function TextStep({ corpora, chosen, choose, again }: Props) {
  const training = corpora.filter(({ name }) => isTrainingText(name));
  return (
    <Card title="1. Text">
      {training.length > 0 ? (
        <fieldset class="presets" aria-label="Text to train on">
          {training.map((corpus) => (
            <TextCard
              key={corpus.name}
              corpus={corpus}
              isChosen={corpus.name === chosen}
              choose={() => choose(corpus.name)}
            />
          ))}
        </fieldset>
      ) : (
        <p class="soft">There is no text yet. Add one in one of these ways.</p>
      )}
      <details class="more" open={training.length === 0}>
        <summary>Add text</summary>
        <div class="ways">
          <SampleWay corpora={corpora} again={again} />
          <UploadWay again={again} />
          <OfficialWay corpora={corpora} />
        </div>
      </details>
    </Card>
  );
}

interface CardProps {
  corpus: Summary;
  isChosen: boolean;
  choose: () => void;
}

function TextCard({ corpus, isChosen, choose }: CardProps) {
  const { name, sources } = corpus;
  return (
    <button type="button" class="preset" aria-pressed={isChosen} onClick={choose}>
      <b>{name}</b>
      <small class="facts">
        {wordsOf(corpus)} words, {plural(sources.length, "file")}
      </small>
      <small>
        {name === SAMPLE ? "Generated toy English, to try the service." : sources.join(" · ")}
      </small>
    </button>
  );
}

function SampleWay({ corpora, again }: { corpora: Summary[]; again: () => void }) {
  const exists = corpora.some(({ name }) => name === SAMPLE);
  const add = async () => {
    await post("/v1/sample");
    setParameters({ text: SAMPLE });
    again();
  };
  return (
    <section aria-label="The sample">
      <h3>The sample</h3>
      <p class="soft">
        Toy English that the service generates. A model learns it in a few minutes, on any machine.
      </p>
      {exists ? <p class="ready">Ready</p> : <Button act={add}>Add the sample</Button>}
    </section>
  );
}

function UploadWay({ again }: { again: () => void }) {
  const done = (text: string) => {
    setParameters({ text });
    again();
  };
  return (
    <section aria-label="Your own text">
      <h3>Your own text</h3>
      <NewCorpus example="my-text" onDone={done} />
    </section>
  );
}

function OfficialWay({ corpora }: { corpora: Summary[] }) {
  const known = new Map(corpora.map((corpus) => [corpus.name, corpus]));
  return (
    <section aria-label="BabyLM's text">
      <h3>BabyLM's text</h3>
      <p class="soft">
        The organizers publish it at{" "}
        <a href="https://osf.io/ad7qg" rel="noreferrer">
          osf.io/ad7qg
        </a>{" "}
        and on{" "}
        <a href="https://huggingface.co/BabyLM-community" rel="noreferrer">
          Hugging Face
        </a>
        . Unpack it, then upload the files of each folder under the name of the folder.
      </p>
      <ul class="having">
        {OFFICIAL.map((name) => {
          const corpus = known.get(name);
          return (
            <li key={name} class={corpus ? "ready" : ""}>
              <code>{name}</code> {corpus ? `${wordsOf(corpus)} words` : "missing"}
            </li>
          );
        })}
      </ul>
      <p class="soft small">
        In a terminal: <code>babylm datasets add train_10M FOLDER</code>
      </p>
    </section>
  );
}
