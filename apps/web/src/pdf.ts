/** The text of PDF files, by pdf.js, whose program is fetched from this page's own place. */
import { GlobalWorkerOptions, getDocument } from 'pdfjs-dist';
import workerUrl from 'pdfjs-dist/build/pdf.worker.min.mjs?url';

GlobalWorkerOptions.workerSrc = workerUrl;

/** The text of a file, with an empty line between its pages. Throws for what is no PDF, and where there is no text in it. */
export async function readPdf(file: File, onProgress: (share: number) => void): Promise<string> {
  const task = getDocument({ data: await file.arrayBuffer(), disableFontFace: true, useSystemFonts: false });
  try {
    const document = await task.promise;
    const { numPages } = document;
    const pages: string[] = [];
    for (let i = 1; i <= numPages; i++) {
      const page = await document.getPage(i);
      const { items } = await page.getTextContent();
      pages.push(items.map((item) => ('str' in item ? item.str + (item.hasEOL ? '\n' : '') : '')).join(''));
      page.cleanup();
      onProgress(i / numPages);
    }
    const text = pages.join('\n\n').trim();
    if (text === '') throw new Error(`${file.name} has no text in it: its pages may be pictures.`);
    return text;
  } finally {
    await task.destroy();
  }
}
