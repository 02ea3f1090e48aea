/** The page: a model, a document, questions, and beside each answer how exact it is and where it has looked. */
import { render } from 'preact';
import { useRef, useState } from 'preact/hooks';
import '../../../packages/lab/src/report/browser/theme.css';
import './page.css';
import {
  type Answer,
  answers,
  ask,
  busy,
  documentText,
  documentTokens,
  load,
  loading,
  model,
  POLICIES,
  type PolicyKey,
  policy,
  problem,
  sampleDocument,
  setDocument,
  stop,
} from './state.ts';

const number = (value: number, digits = 0) => value.toLocaleString('en', { maximumFractionDigits: digits });
const percent = (share: number) => `${number(100 * share, share < 0.01 ? 2 : 1)} %`;

function Page() {
  return (
    <main>
      <h1>Ask a long document</h1>
      <p class="lead">
        A language model reads it in this page. Nothing is sent anywhere, and every answer says how much was read for it
        and how exact that was.
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

function ModelCard() {
  const { value: progress } = loading;
  const { value: loaded } = model;
  return (
    <section class="card" aria-labelledby="model-title">
      <h2 id="model-title">1. A model</h2>
      <div class="row">
        <button type="button" onClick={() => load('nano')} disabled={progress !== undefined}>
          Use nano, which comes with this page
        </button>
        <FileButton label="Open a GGUF file" accept=".gguf" onFile={load} />
      </div>
      {progress !== undefined && (
        <p>
          <progress aria-label="Loading the model" max={1} value={progress.overall} /> {percent(progress.overall)}
        </p>
      )}
      <p role="status">
        {loaded === undefined
          ? 'No model is loaded. Nano has five megabytes and only finds facts again; a chat model answers questions.'
          : `${loaded.name} is loaded: ${number(loaded.contextLength)} tokens at most${loaded.ropeExtended ? ', more than it was trained for' : ''}.`}
      </p>
    </section>
  );
}

function FileButton({ label, accept, onFile }: { label: string; accept: string; onFile: (file: File) => unknown }) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer?.files[0];
    if (file !== undefined) onFile(file);
  };
  return (
    <label
      class={over ? 'file over' : 'file'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      {label}, or drop it here
      <input
        type="file"
        accept={accept}
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file !== undefined) onFile(file);
        }}
      />
    </label>
  );
}

function DocumentCard() {
  return (
    <section class="card" aria-labelledby="document-title">
      <h2 id="document-title">2. A document</h2>
      <div class="row">
        <FileButton
          label="Open a text or Markdown file"
          accept=".txt,.md,text/*"
          onFile={async (file) => setDocument(await file.text())}
        />
        <button type="button" onClick={() => setDocument(sampleDocument())}>
          Use a sample with a number hidden in it
        </button>
      </div>
      <label class="stacked">
        Or paste its text
        <textarea
          rows={6}
          value={documentText.value}
          onChange={({ currentTarget }) => setDocument(currentTarget.value)}
        />
      </label>
      <p role="status">
        {documentTokens.value === undefined
          ? `${number(documentText.value.length)} characters.`
          : `${number(documentTokens.value)} tokens.`}
      </p>
    </section>
  );
}

function Chat() {
  const input = useRef<HTMLInputElement>(null);
  const ready = model.value !== undefined && documentText.value !== '';
  const submit = (event: Event) => {
    event.preventDefault();
    const question = input.current?.value ?? '';
    if (question.trim() !== '' && ready && !busy.value) void ask(question);
  };
  return (
    <section class="card" aria-labelledby="ask-title">
      <h2 id="ask-title">3. Questions</h2>
      <fieldset>
        <legend>How the model attends to the document</legend>
        {(Object.keys(POLICIES) as PolicyKey[]).map((key) => (
          <label key={key} class="choice">
            <input
              type="radio"
              name="policy"
              checked={policy.value === key}
              onChange={() => {
                policy.value = key;
              }}
            />
            <span>
              <b>{POLICIES[key].label}</b> {POLICIES[key].meaning}
            </span>
          </label>
        ))}
      </fieldset>
      <ol class="answers" aria-label="Answers" aria-live="polite">
        {answers.value.map((answer, i) => (
          <AnswerView key={i} answer={answer} />
        ))}
      </ol>
      <form onSubmit={submit} class="row">
        <label class="stacked grow">
          Your question, or for nano the beginning of a sentence
          <input ref={input} type="text" placeholder="The number of amber fox is " />
        </label>
        {busy.value ? (
          <button type="button" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="submit" disabled={!ready}>
            Ask
          </button>
        )}
      </form>
      {!ready && <p class="muted">It takes a model and a document first.</p>}
    </section>
  );
}

function AnswerView({ answer }: { answer: Answer }) {
  const { question, text, reading, tokensPerSecond, msPerToken, keysExact, leftOut, error, certificate } = answer;
  return (
    <li>
      <p class="question">{question}</p>
      {reading !== undefined && (
        <p>
          <progress aria-label="Reading the document" max={1} value={reading} /> reading, {percent(reading)}
          {tokensPerSecond !== undefined && `, ${number(tokensPerSecond)} tokens a second`}
        </p>
      )}
      <p class="answer" data-answer>
        {text.trimEnd()}
        {answer.aborted && <em> (stopped)</em>}
      </p>
      {keysExact !== undefined && (
        <dl class="facts">
          <Fact name="attends to" value={POLICIES[answer.policy].label.toLowerCase()} />
          <Fact name="keys read of all" value={percent(keysExact)} />
          <Fact name="share left out" value={shareText(leftOut, certificate)} />
          <Fact name="output error" value={shareText(error, certificate)} />
          <Fact name="tokens read a second" value={number(tokensPerSecond ?? 0)} />
          <Fact
            name="a token of the answer"
            value={msPerToken === undefined ? 'one only' : `${number(msPerToken)} ms`}
          />
        </dl>
      )}
      {answer.strip !== undefined && <Strip weights={answer.strip} passages={answer.passages ?? []} />}
    </li>
  );
}

const shareText = (value: number | null | undefined, certificate = '') =>
  value === null || value === undefined ? 'not known' : `${percent(value)}, ${certificate}`;

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** The document from its beginning to its end; brighter where the answer has looked more. */
function Strip({ weights, passages }: { weights: readonly number[]; passages: readonly string[] }) {
  const [at, setAt] = useState(() => weights.indexOf(Math.max(...weights)));
  const move = (to: number) => setAt(Math.max(0, Math.min(weights.length - 1, to)));
  const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  return (
    <figure>
      <figcaption>Where the answer has looked, from the document's beginning to its end</figcaption>
      <div
        class="strip"
        role="slider"
        tabIndex={0}
        aria-label="Passage of the document"
        aria-valuemin={1}
        aria-valuemax={weights.length}
        aria-valuenow={at + 1}
        aria-valuetext={`passage ${at + 1} of ${weights.length}: ${passages[at] ?? ''}`}
        onKeyDown={(event) => {
          const step = steps[event.key];
          if (step === undefined) return;
          event.preventDefault();
          move(at + step);
        }}
        onPointerMove={({ currentTarget, clientX }) => {
          const { left, width } = currentTarget.getBoundingClientRect();
          move(Math.floor(((clientX - left) / width) * weights.length));
        }}
      >
        {weights.map((weight, i) => (
          <span key={i} class={i === at ? 'here' : undefined} style={{ '--weight': Math.sqrt(weight) }} />
        ))}
      </div>
      <blockquote>{passages[at]}</blockquote>
    </figure>
  );
}

function Limits() {
  return (
    <section class="card" aria-labelledby="limits-title">
      <h2 id="limits-title">What this page cannot do</h2>
      <ul>
        <li>Models of more than some 800 million parameters do not fit: weights are held as 32-bit numbers.</li>
        <li>It runs on one processor core, so a program on your machine is faster than this page.</li>
        <li>A small model may be wrong even where nothing was left out: the error is that of the attention alone.</li>
        <li>
          The strip shows where the model looked, not why it said what it said. Every head looks at the first four
          tokens and at the last 128: they are left out of it.
        </li>
        <li>PDF files are not read: copy their text.</li>
      </ul>
    </section>
  );
}

render(<Page />, document.getElementById('page') as HTMLElement);
if ('serviceWorker' in navigator) void navigator.serviceWorker.register('./sw.js');
