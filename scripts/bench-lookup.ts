/**
 * What drafts that are looked up in the prompt gain: `npm run bench:lookup -- MODEL [TOKENS [ROUNDS]]`. Ten prompts ask for
 * text that stands in them (copies, rewritings, extracts), ten for other text. Each is answered greedily with drafts and
 * without, in turns; the time is that of decoding: processor time of the whole process, and by the clock. Ends with code 1
 * where an answer is another one.
 */
import { type ChatMessage, loadModel } from '@keysieve/llm';
import { type Spread, spreadOf } from '../packages/lab/src/numerics/spread.ts';

const [source, tokens = '64', rounds = '3'] = process.argv.slice(2);
if (source === undefined) throw new Error('Name a model: a path, or hf:OWNER/REPO.');

const STORY =
  'The lighthouse keeper rose before dawn and climbed the iron stairs to trim the lamp. A ship had passed in the night, ' +
  'low in the water and without lights, and he wrote its course in the book beside the window. By noon the wind had turned ' +
  'to the north, the gulls had gone inland, and the first long swell broke white over the reef.';
const LETTER =
  'Dear Mr. Harlow, thank you for your order of 12 March. The two oak tables and the six chairs left our workshop on Monday ' +
  'and will reach you on Thursday between nine and eleven. Please have the side door open, since the tables do not pass the ' +
  'front stairs. The bill of 1,480 pounds is due within thirty days.';
const RECORDS =
  '{"id": 1041, "name": "Marta Lindqvist", "city": "Uppsala", "email": "marta@example.org"}\n' +
  '{"id": 1042, "name": "Jonas Adeyemi", "city": "Lagos", "email": "jonas@example.org"}\n' +
  '{"id": 1043, "name": "Pilar Ortega", "city": "Sevilla", "email": "pilar@example.org"}';
const CODE =
  'function median(numbers) {\n  const sorted = [...numbers].sort((a, b) => a - b);\n  const middle = Math.floor(sorted.length / 2);\n' +
  '  if (sorted.length % 2 === 1) return sorted[middle];\n  return (sorted[middle - 1] + sorted[middle]) / 2;\n}';

const REPEATING = [
  `Repeat this text word for word:\n\n${STORY}`,
  `Repeat this text word for word:\n\n${LETTER}`,
  `Copy these lines exactly:\n\n${RECORDS}`,
  `Copy this function exactly:\n\n${CODE}`,
  `Correct the spelling of this text and write it out in full:\n\n${STORY.replaceAll('had', 'hadd')}`,
  `Rewrite this letter, addressed to Mrs. Okafor in place of Mr. Harlow, and change nothing else:\n\n${LETTER}`,
  `Write these lines again with the city of Jonas Adeyemi changed to Accra:\n\n${RECORDS}`,
  `Rename the function to middleOf and write out all of the code:\n\n${CODE}`,
  `Extract every sentence of this text that speaks of the weather or of a ship, as it stands:\n\n${STORY}`,
  `List the name and the email address of every person in these lines:\n\n${RECORDS}`,
];
const OTHERS = [
  'Why is the sky blue?',
  'Write a short poem about a river in winter.',
  'Give three reasons to learn a second language.',
  'What is the difference between a comet and an asteroid?',
  'Tell a story about a fox who finds a key.',
  'How do I keep basil alive on a window sill?',
  'Explain what a prime number is to a child.',
  'Describe a busy market in the morning.',
  'Which exercises are good for the back, and why?',
  `What might happen next, after this?\n\n${STORY}`,
];

await using model = await loadModel(source, { context: 2048 });
await using session = await model.createSession();

interface Answer {
  tokens: number[];
  cpuMs: number;
  wallMs: number;
  passes: number;
  drafts: { proposed: number; accepted: number };
}

async function answer(prompt: ChatMessage[], promptLookup: boolean): Promise<Answer> {
  const generation = session.generate(prompt, { maxTokens: Number(tokens), temperature: 0, promptLookup });
  let cpu = process.cpuUsage();
  let [started, count] = [0, 0];
  for await (const _ of generation) {
    // Reading the prompt is no part of it.
    if (count++ === 0) [cpu, started] = [process.cpuUsage(), performance.now()];
  }
  const { user, system } = process.cpuUsage(cpu);
  const { tokens: ids, drafts } = await generation.result;
  const passes = ids.length - 1 - drafts.accepted;
  return { tokens: ids, cpuMs: (user + system) / 1000, wallMs: performance.now() - started, passes, drafts };
}

const format = ({ median, low, high }: Spread) => `${median.toFixed(2)} x (${low.toFixed(2)} to ${high.toFixed(2)})`;
let different = 0;

for (const [kind, prompts] of [
  ['repeat', REPEATING],
  ['other', OTHERS],
] as const) {
  const all = { cpu: [] as number[], wall: [] as number[] };
  for (const [i, content] of prompts.entries()) {
    const prompt: ChatMessage[] = [{ role: 'user', content }];
    const ratios = { cpu: [] as number[], wall: [] as number[] };
    // Reads the prompt.
    await answer(prompt, false);
    let line = '';
    for (let round = 0; round < Number(rounds); round++) {
      const order = round % 2 === 0 ? [true, false] : [false, true];
      const answers = new Map<boolean, Answer>();
      for (const drafted of order) answers.set(drafted, await answer(prompt, drafted));
      const [drafted, plain] = [answers.get(true) as Answer, answers.get(false) as Answer];
      if (drafted.tokens.join() !== plain.tokens.join()) different++;
      ratios.cpu.push(plain.cpuMs / drafted.cpuMs);
      ratios.wall.push(plain.wallMs / drafted.wallMs);
      line = `${drafted.tokens.length} tokens in ${drafted.passes} passes, ${drafted.drafts.accepted} of ${drafted.drafts.proposed} drafted right`;
    }
    const [cpu, wall] = [spreadOf(ratios.cpu), spreadOf(ratios.wall)];
    all.cpu.push(cpu.median);
    all.wall.push(wall.median);
    console.log(`${kind} ${String(i + 1).padStart(2)}  processor ${format(cpu)}, clock ${format(wall)}; ${line}`);
  }
  console.log(
    `${kind}: processor ${format(spreadOf(all.cpu))}, least ${Math.min(...all.cpu).toFixed(2)}; ` +
      `clock ${format(spreadOf(all.wall))}, least ${Math.min(...all.wall).toFixed(2)}`,
  );
}
console.log(`${different} answers of ${20 * Number(rounds)} are other ones than without drafts`);
process.exit(different === 0 ? 0 : 1);
