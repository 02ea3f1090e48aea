/** The document of the page: its text, and what it is for the model. */
import { effect, signal } from '@preact/signals';
import { attempt, model } from './models.ts';

export const documentText = signal(localStorage.getItem('document') ?? '');
export const documentTokens = signal<number | undefined>(undefined);
/** Share of a file that is read, while it is. */
export const reading = signal<number | undefined>(undefined);

effect(() => {
  // A document that is too large for the browser to keep is not kept.
  try {
    localStorage.setItem('document', documentText.value);
  } catch {
    localStorage.removeItem('document');
  }
});

effect(() => {
  const { value: loaded } = model;
  const { value: text } = documentText;
  documentTokens.value = undefined;
  if (loaded === undefined || text === '') return;
  void loaded.encode(promptOf('')).then(({ length }) => {
    if (model.value === loaded && documentText.value === text) documentTokens.value = length;
  });
});

export function setDocument(text: string): void {
  documentText.value = text;
}

/** Takes a file of text, Markdown or PDF. */
export const readFile = (file: File): Promise<void> =>
  attempt(async () => {
    const isPdf = file.type === 'application/pdf' || /\.pdf$/i.test(file.name);
    if (!isPdf) return setDocument(await file.text());
    try {
      reading.value = 0;
      // Loaded only where it is needed.
      const { readPdf } = await import('./pdf.ts');
      setDocument(await readPdf(file, (share) => (reading.value = share)));
    } finally {
      reading.value = undefined;
    }
  });

/** What the model reads: a chat where it knows one, else the document with the question behind it. */
export function promptOf(question: string) {
  const text = `${documentText.value}\n\n${question}`;
  return model.value?.hasChatTemplate ? [{ role: 'user', content: text }] : text;
}

/** A document of some 8,000 tokens for those who have none at hand: a number is hidden in it. */
export function sampleDocument(): string {
  const line = 'The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ';
  return `${line.repeat(45)}The number of amber fox is 48213. ${line.repeat(45)}`;
}
