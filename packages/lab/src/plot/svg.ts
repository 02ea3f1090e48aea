/** Plots as SVG text, made without a browser: Observable Plot on a document of linkedom. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** The plot as a file of its own. A light ground, so that it can be read on pages of any colour. */
export function renderSvg(options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = Plot.plot({ ...options, document: document as unknown as Document });
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  svg.setAttribute('style', 'background: #fff; color: #222; font: 13px system-ui, sans-serif');
  return `${svg.outerHTML}\n`;
}
