/** The report of `keysieve methods`: three pictures and a card for each system of the literature, as a page to look at. */
import type { MethodStudy } from '../methods/study.ts';
import { methodPageData } from './method-page-data.ts';
import { renderPage } from './page.ts';

/** The report as the text of an HTML file that needs nothing else. */
export function methodReport(study: MethodStudy): Promise<string> {
  return renderPage({
    name: 'methods',
    title: 'Systems of the literature, on real heads',
    description: 'What eleven papers claim, tried on planted data and on heads of a real model, beside the sieve.',
    data: methodPageData(study),
  });
}
