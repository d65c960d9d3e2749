// A text that a model wrote, with its prompt in bold.

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
