/** The report of `keysieve eval`: what every setting costs, and which one to take, as a page to look at. */
import { type EvalResults, evalPageData } from './eval-page-data.ts';
import { renderPage } from './page.ts';

/** The report as the text of an HTML file that needs nothing else. */
export function evalReport(results: EvalResults): Promise<string> {
  const data = evalPageData(results);
  return renderPage({
    name: 'eval',
    title: `What it costs to read less: ${data.model.model}`,
    description: `What policies cost ${data.model.model} in quality, and what they save, as keysieve eval measured it.`,
    data,
  });
}

export type { EvalResults } from './eval-page-data.ts';
