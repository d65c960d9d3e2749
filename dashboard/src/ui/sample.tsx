// Texts that a model wrote, with their prompts in bold, and a slider that chooses a training
// step.

import type { ComponentChildren } from "preact";
import { exact } from "../lib/format.ts";

export interface Sample {
  seq: number;
  step: number;
  prompt: string;
  text: string;
}

export interface TextProps {
  prompt: string;
  text: string;
  note: string;
}

export function SampleText({ prompt, text, note }: TextProps) {
  // The tokenizer may decode the prompt differently; then no part of the text is bold.
  const isPrompted = text.startsWith(prompt);
  return (
    <p class="sample">
      {isPrompted && <b>{prompt}</b>}
      {isPrompted ? text.slice(prompt.length) : text}
      <small>{note}</small>
    </p>
  );
}

// The steps of the samples in ascending order, each once.
export function stepsOf(samples: Sample[]): number[] {
  return [...new Set(samples.map(({ step }) => step))].sort((a, b) => a - b);
}

interface SliderProps {
  steps: number[];
  index: number;
  choose: (index: number) => void;
  shown?: string; // a text that is shown instead of the step
  children?: ComponentChildren;
}

export function StepSlider({ steps, index, choose, shown, children }: SliderProps) {
  return (
    <label class="inline slider">
      Step
      <input
        type="range"
        min={0}
        max={steps.length - 1}
        value={index}
        aria-valuetext={`step ${exact(steps[index])}`}
        onInput={(event) => choose(Number(event.currentTarget.value))}
      />
      <output>{shown ?? exact(steps[index])}</output>
      {children}
    </label>
  );
}

export function SampleTexts({ samples }: { samples: Sample[] }) {
  return (
    <div class="samples">
      {samples.map((sample) => (
        <SampleText key={sample.seq} {...sample} note={`step ${exact(sample.step)}`} />
      ))}
    </div>
  );
}
