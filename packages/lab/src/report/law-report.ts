/** The report of `keysieve measure`: what law.json says, as a page to look at. */
import type { LawFile } from 'keysieve';
import { lawPageData } from './law-page-data.ts';
import { renderPage } from './page.ts';

/** The report as the text of an HTML file that needs nothing else. */
export function lawReport(law: LawFile): Promise<string> {
  return renderPage({
    name: 'law',
    title: `How many keys ${law.model.name} needs`,
    description: `The law of attention, alpha n^C, of each head of ${law.model.name}, as keysieve measured it.`,
    data: lawPageData(law),
  });
}
