// The pages by the first part of the address.

import type { ComponentType } from "preact";
import { ComparePage } from "./compare/index.tsx";
import { CorporaPage } from "./corpora/index.tsx";
import { EvaluationsPage } from "./evaluations/index.tsx";
import { JobPage } from "./job/index.tsx";
import { Jobs } from "./jobs/index.tsx";
import { NewJobPage } from "./new/index.tsx";
import { PlaygroundPage } from "./playground/index.tsx";
import { StartPage } from "./start/index.tsx";
import { StudyPage } from "./study/index.tsx";
import { SystemPage } from "./system.tsx";
import { TokenizersPage } from "./tokenizers/index.tsx";

export interface PageProps {
  parts: string[];
  parameters: URLSearchParams;
}

interface PageEntry {
  View: ComponentType<PageProps>;
  // Maximum number of parts after the name of the page in the address, such as an id.
  parts: number;
}

// A Map, because an object also has inherited keys, such as "constructor".
export const PAGES = new Map<string, PageEntry>([
  ["", { View: Jobs, parts: 0 }],
  ["jobs", { View: JobPage, parts: 1 }],
  ["studies", { View: StudyPage, parts: 1 }],
  ["start", { View: StartPage, parts: 0 }],
  ["new", { View: NewJobPage, parts: 1 }],
  ["compare", { View: ComparePage, parts: 0 }],
  ["playground", { View: PlaygroundPage, parts: 0 }],
  ["corpora", { View: CorporaPage, parts: 1 }],
  ["evaluations", { View: EvaluationsPage, parts: 0 }],
  ["tokenizers", { View: TokenizersPage, parts: 1 }],
  ["system", { View: SystemPage, parts: 0 }],
]);
