// The pages by the first part of the address.

import type { ComponentType } from "preact";
import { ComparePage } from "./compare/index.tsx";
import { CorporaPage } from "./corpora/index.tsx";
import { JobPage } from "./job/index.tsx";
import { Jobs } from "./jobs/index.tsx";
import { NewJobPage } from "./new/index.tsx";
import { SystemPage } from "./system.tsx";
import { TokenizersPage } from "./tokenizers.tsx";

export interface PageProps {
  parts: string[];
  parameters: URLSearchParams;
}

export const PAGES: Record<string, ComponentType<PageProps>> = {
  "": Jobs,
  jobs: JobPage,
  new: NewJobPage,
  compare: ComparePage,
  corpora: CorporaPage,
  tokenizers: TokenizersPage,
  system: SystemPage,
};
