/** The page: a model, a document, questions, and beside each answer how exact it is and where it has looked. */
import { render } from 'preact';
import '../../../packages/lab/src/report/browser/theme.css';
import './page.css';
import { Chat } from './chat.tsx';
import { DocumentCard } from './document-card.tsx';
import { ModelCard } from './model-card.tsx';
import { lookIntoStorage, problem } from './models.ts';

function Page() {
  return (
    <main>
      <h1>Ask a long document</h1>
      <p class="lead">
        A language model reads it in this page. Nothing is sent anywhere, and every answer says how much was read for it
        and how exact that was. <a href="./law.html">Your model's law</a> shows how many keys each of its heads needs.
      </p>
      {problem.value !== '' && (
        <p class="problem" role="alert">
          {problem.value}
        </p>
      )}
      <ModelCard />
      <DocumentCard />
      <Chat />
      <Limits />
    </main>
  );
}

function Limits() {
  return (
    <section class="card" aria-labelledby="limits-title">
      <h2 id="limits-title">What this page cannot do</h2>
      <ul>
        <li>Models of more than some 800 million parameters do not fit: weights are held as 32-bit numbers.</li>
        <li>
          {crossOriginIsolated
            ? 'Its weights are 32-bit numbers, so a program on your machine is faster than this page.'
            : 'It runs on one processor core for now: opened again, this page may use all of them.'}
        </li>
        <li>A small model may be wrong even where nothing was left out: the error is that of the attention alone.</li>
        <li>
          The strip shows where the model looked, not why it said what it said. Every head looks at the first four
          tokens and at the last 128: they are left out of it.
        </li>
        <li>Pictures in PDF files are not read, and what a document looks like does not count: only its text.</li>
      </ul>
    </section>
  );
}

render(<Page />, document.getElementById('page') as HTMLElement);
void lookIntoStorage();
if ('serviceWorker' in navigator) void navigator.serviceWorker.register('./sw.js');
