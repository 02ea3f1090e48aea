/** The head of the page: which setting to take, and the numbers that say why. */
import { formatCount, formatNumber } from '../../../format/format.ts';
import type { EvalPageData } from '../../eval-page-data.ts';
import { type Tile, Tiles } from '../parts.tsx';
import { percent } from '../text.ts';
import { isSame, nameOf, type PageText, state, suggestionOf } from './state.ts';

export function Overview({ data: { model, text, tasks } }: { data: EvalPageData }) {
  const facts = [
    ...(text
      ? [`${text.text.name}, ${formatCount(text.tokens)} tokens, the last ${formatCount(text.evalTokens)} compared`]
      : []),
    ...(tasks ? [`${formatCount(tasks.prompts)} questions of ${tasks.tasks.join(', ')}`] : []),
  ];
  return (
    <header>
      <h1>What it costs {model.model} to read less</h1>
      <p class="facts">{facts.join(' · ')}</p>
      <p>
        Dense attention reads every key of the context for every token. A setting, a policy with its budget, reads less,
        and its predictions move away from those of dense attention by a divergence (KL, in nats; 0 means that they are
        the same). This page shows how far, what is saved, and which setting to take.
      </p>
      {text && <Choice text={text} tasks={tasks} />}
    </header>
  );
}

function Choice({ text, tasks }: { text: PageText; tasks: EvalPageData['tasks'] }) {
  const { target } = state.value;
  const { setting, probable } = suggestionOf(text);
  if (setting === null) {
    const label = `None of these settings meets a KL of ${formatNumber(target.kl)}${probable === null ? '' : `; ${nameOf(probable)} may, with more tokens compared`}.`;
    return <Tiles tiles={[{ value: 'dense', label }]} />;
  }
  const chosen = text.policies.find((policy) => isSame(policy, setting));
  const scores = tasks?.policies.find((policy) => isSame(policy, setting));
  const dense = tasks?.dense ?? undefined;
  const [low, high] = setting.kl.interval;
  const tiles: Tile[] = [
    {
      value: nameOf(setting),
      label: `is the ${target.by === 'bytes' ? 'setting that reads the fewest bytes' : 'fastest setting'} among those that hold a KL of ${formatNumber(target.kl)}`,
    },
    {
      value: `KL ${formatNumber(setting.kl.mean)}`,
      label: `(95 % interval ${formatNumber(low)} to ${formatNumber(high)}); the likeliest token is that of dense attention for ${percent(chosen?.top1 ?? 0)}`,
    },
    {
      value: `${formatNumber(text.dense.bytesPerKey / setting.bytesPerKey, 2)} x fewer bytes`,
      label: `${formatNumber(setting.bytesPerKey)} for each key of the context, where dense attention reads ${formatNumber(text.dense.bytesPerKey)}`,
    },
  ];
  if (setting.msPerToken !== null && text.dense.msPerToken !== null) {
    const faster = text.dense.msPerToken / setting.msPerToken;
    tiles.push({
      value: `${formatNumber(faster >= 1 ? faster : 1 / faster, 2)} x ${faster >= 1 ? 'faster' : 'slower'}`,
      label: `${formatNumber(setting.msPerToken)} ms a token, where dense attention takes ${formatNumber(text.dense.msPerToken)}, measured here`,
    });
  }
  if (scores !== undefined && dense !== undefined) {
    tiles.push({
      value: percent(scores.score),
      label: `of what tasks ask for is found; by dense attention ${percent(dense.score)}`,
    });
  }
  return <Tiles tiles={tiles} />;
}
