// The tokens of a text by several tokenizers, requested again when the text changes.

import { useEffect, useState } from "preact/hooks";
import { post } from "../../api/client.ts";

const TYPING_MILLISECONDS = 300;

export interface Token {
  id: number;
  piece: string;
  text: string;
  // Position in the text, in characters (code points).
  start: number;
  end: number;
}

interface State {
  text: string;
  tokens: Map<string, Token[]>;
  fault: string;
}

export interface Splits extends State {
  again: () => void;
}

export function useSplits(ids: string[], text: string): Splits {
  const [state, setState] = useState<State>({ text, tokens: new Map(), fault: "" });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    const split = async () => {
      try {
        const answers = await Promise.all(
          ids.map((id) =>
            post<{ tokens: Token[] }>(`/v1/tokenizers/${id}/encode`, { text }, controller.signal),
          ),
        );
        const tokens = new Map(ids.map((id, index) => [id, answers[index].tokens]));
        setState({ text, tokens, fault: "" });
      } catch (error) {
        if (controller.signal.aborted) return;
        setState({ text, tokens: new Map(), fault: (error as Error).message });
      }
    };
    const timer = setTimeout(split, TYPING_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [ids.join(), text, attempt]);
  return { ...state, again: () => setAttempt(attempt + 1) };
}

export interface Word {
  text: string;
  end: number;
}

// The words of a text with their positions in characters; a position counts code points, as in the
// API, and not UTF-16 units.
export function wordsIn(text: string): Word[] {
  const words: Word[] = [];
  let start = 0;
  for (const part of text.split(/(\s+)/)) {
    const length = [...part].length;
    if (part.trim()) words.push({ text: part, end: start + length });
    start += length;
  }
  return words;
}

// The tokens of each word: all tokens that end after the end of the previous word, up to the end of
// this word. They include the space before the word, because it is a token of its own or a part of
// the first token of the word.
export function tokensByWord(words: Word[], tokens: Token[]): Token[][] {
  return words.map(({ end }, at) => {
    const before = at ? words[at - 1].end : 0;
    return tokens.filter((token) => token.end > before && token.end <= end);
  });
}
