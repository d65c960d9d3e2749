// Which datasets are for training, and which validation text belongs to them.

// Names of held-out text, which must not be used to train a model or a tokenizer.
const HELD_OUT = /(^|[_.-])(dev|test|validation)$/;

// The toy English that the service generates.
export const SAMPLE = "sample";

export const isTrainingText = (name: string) => !HELD_OUT.test(name);

// A dataset, and the validation text that belongs to it; null if there is none.
export function textOf(dataset: string, known: string[]) {
  const names = [`${dataset}_dev`, "dev"].filter((name) => name !== dataset);
  return { dataset, validation: names.find((name) => known.includes(name)) ?? null };
}
