// What nano says in Node, from the sources: prints the text that follows on the prompt in the file that is named.
import { readFile } from 'node:fs/promises';
import { loadModel } from '@keysieve/llm';

const { prompt, attention, maxTokens, model: path = 'nano' } = JSON.parse(await readFile(process.argv[2], 'utf8'));
const model = await loadModel(path, { precision: 'fp32', threads: 1 });
const session = await model.createSession({ attention, denseFallback: false });
const { text } = await session.generate(prompt, { maxTokens }).result;
process.stdout.write(JSON.stringify(text));
await session.dispose();
await model.dispose();
