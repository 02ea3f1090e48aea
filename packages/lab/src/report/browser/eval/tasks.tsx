/** What is found in tasks whose answers are known: a row a setting, a column a length. */

import { formatCount, formatLength } from '../../../format/format.ts';
import type { PolicyScores } from '../../../tasks/evaluate-tasks.ts';
import type { EvalPageData } from '../../eval-page-data.ts';
import { Card, Choice } from '../parts.tsx';
import { percent } from '../text.ts';
import { choose, nameOf, state } from './state.ts';

export function Tasks({ tasks }: { tasks: NonNullable<EvalPageData['tasks']> }) {
  const { policies, lengths, prompts, dense } = tasks;
  const { task } = state.value;
  const scoreAt = ({ byLength, byTask }: PolicyScores, length: number): number | undefined =>
    task === '' ? byLength[length] : byTask[task]?.[length];
  const others = policies.filter(({ policy }) => policy !== dense?.policy);
  const best = others.reduce<PolicyScores | undefined>(
    (a, b) => (a === undefined || b.score > a.score ? b : a),
    undefined,
  );
  const title =
    best === undefined
      ? `Dense attention finds ${percent(dense?.score ?? 0)}`
      : `${nameOf(best)} finds ${percent(best.score)}${dense === null ? '' : `, dense attention ${percent(dense.score)}`}`;
  return (
    <Card title={title}>
      <p>
        Share of what {formatCount(prompts)} questions ask for that the answers name, by the length of the prompt in
        tokens.{' '}
        {dense === null
          ? 'Dense attention was not asked, so this does not say what the model itself can find: --policy dense asks it.'
          : 'What dense attention does not find, the model cannot do: compare with its row.'}
      </p>
      {tasks.tasks.length > 1 && (
        <Choice
          label="task"
          name="task"
          options={[{ value: '', label: 'all' }, ...tasks.tasks.map((name) => ({ value: name, label: name }))]}
          value={task}
          onChange={(value) => choose({ task: value })}
        />
      )}
      <div class="table">
        <table class="scores">
          <thead>
            <tr>
              <th scope="col">setting</th>
              {lengths.map((length) => (
                <th key={length} scope="col" class="number">
                  {formatLength(length)}
                </th>
              ))}
              <th scope="col" class="number">
                keys
              </th>
            </tr>
          </thead>
          <tbody>
            {policies.map((policy) => (
              <tr key={nameOf(policy)}>
                <td>{nameOf(policy)}</td>
                {lengths.map((length) => (
                  <Score key={length} score={scoreAt(policy, length)} />
                ))}
                <td class="number">{formatCount(policy.keysExact.mean)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Score({ score }: { score: number | undefined }) {
  if (score === undefined) return <td />;
  // Never so dark that the number in it cannot be read.
  const strength = Math.round(60 * score);
  return (
    <td class="number score" style={{ background: `color-mix(in srgb, var(--blue) ${strength}%, transparent)` }}>
      {percent(score)}
    </td>
  );
}
