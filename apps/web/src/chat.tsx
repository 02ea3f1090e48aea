/** The third card: questions, and beside each answer how exact it is and where it has looked. */
import { useRef, useState } from 'preact/hooks';
import { type Answer, answers, ask, busy, POLICIES, type PolicyKey, policy, stop } from './answers.ts';
import { documentText } from './document.ts';
import { model } from './models.ts';
import { number, percent } from './parts.tsx';

export function Chat() {
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
