/** The page of a law: what `keysieve measure` has found of a model, as its report shows it. */
import { signal } from '@preact/signals';
import { readLaw } from 'keysieve';
import { render } from 'preact';
import { LawPage, showTypicalHead } from '../../../packages/lab/src/report/browser/law/page.tsx';
import '../../../packages/lab/src/report/browser/theme.css';
import { type LawPageData, lawPageData } from '../../../packages/lab/src/report/law-page-data.ts';
import './page.css';
import { FileButton } from './parts.tsx';

const law = signal<LawPageData | undefined>(undefined);
const problem = signal('');

async function open(file: File): Promise<void> {
  problem.value = '';
  try {
    const data = lawPageData(readLaw(await file.text(), file.name));
    showTypicalHead(data);
    law.value = data;
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

function Page() {
  if (law.value !== undefined) return <LawPage data={law.value} />;
  return (
    <main>
      <h1>Your model's law</h1>
      <p class="lead">
        How many keys does each head need, and how does that grow with the text? <code>keysieve measure</code> finds it
        out on your machine and writes it into law.json, which this page draws. Nothing is sent anywhere.{' '}
        <a href="./index.html">Ask a document</a> instead.
      </p>
      {problem.value !== '' && (
        <p class="problem" role="alert">
          {problem.value}
        </p>
      )}
      <section class="card" aria-labelledby="open-title">
        <h2 id="open-title">A law</h2>
        <FileButton label="Open law.json" accept=".json,application/json" onFile={open} />
        <p>
          To make one: <code>npx @keysieve/cli measure --model MODEL.gguf --out law.json</code>
        </p>
      </section>
    </main>
  );
}

render(<Page />, document.getElementById('page') as HTMLElement);
