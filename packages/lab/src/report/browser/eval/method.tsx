/** How it was measured. */
import { formatCount } from '../../../format/format.ts';
import type { EvalPageData } from '../../eval-page-data.ts';

export function Method({ data: { model, text, tasks } }: { data: EvalPageData }) {
  const prefills = (text?.times?.prefills ?? text?.prefills)?.map(({ policy, budget, ...timed }) => {
    const name = budget === null ? policy : `${policy} ${budget}`;
    return 'ms' in timed ? `${name} ${((timed.ms as number) / 1000).toFixed(1)} s` : name;
  });
  const machine = text?.times?.machine;
  return (
    <footer>
      {text && (
        <p>
          The context was read once (with {prefills?.join('; ')}); its last {formatCount(text.evalTokens)} tokens then
          went through dense attention and through every setting, over the same cache. KL is that of the predictions
          from those of dense attention after a dense prefill, and its interval holds the true mean with a probability
          of .95, as far as tokens are drawn independently (bootstrap).{' '}
          {machine &&
            `Times are medians of decoding steps of one token, the settings in turn, by ${machine.processor} with ${machine.threads} threads and a load of ${machine.load}. `}
          Text {text.text.name}, SHA-256 <code>{text.text.hash.slice(0, 16)}</code>, seed {text.seed}.
        </p>
      )}
      {tasks && (
        <p>
          Tasks are generators with a seed ({tasks.seed}), after those of RULER (arXiv 2404.06654), around{' '}
          {tasks.filler.name}
          {tasks.chat ? ", in the model's chat template" : ''}; an answer is the likeliest tokens, and scores by the
          references that it names.
        </p>
      )}
      <p>
        Measured by <code>keysieve eval</code>. Model {model.model}, SHA-256 <code>{model.hash.slice(0, 16)}</code>,
        dense layers {model.precision}, cache {model.cachePrecision}. This page is one file and asks no network for
        anything.
      </p>
    </footer>
  );
}
