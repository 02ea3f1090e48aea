/** Captures heads of a model: their keys and values over a text, and the queries of its last positions. */
import { type AttentionEvent, type Model, selectiveLayers } from '@keysieve/llm';
import { labError } from '../errors.ts';
import { type NamedText, takeTokens } from '../eval/tokens.ts';
import { type WorkOptions, workOf } from '../work.ts';
import type { CapturedHead } from './captured-head.ts';

/** A key-value head of a model. */
export interface HeadPlace {
  layer: number;
  keyValueHead: number;
}

/** What is captured, and over what. */
export interface CaptureHeadsOptions extends WorkOptions {
  model: Model;
  text: NamedText;
  /** Tokens of the text: the keys of each head. Default: 8,192. */
  tokens?: number;
  /** Tokens to leave out at the beginning of the text. Default: 0. */
  offset?: number;
  /** Positions whose queries are captured, counted back from the last one. Default: 128. */
  lastQueries?: number;
  /** Which heads. Default: one of each of six layers, evenly from the first to the last. */
  heads?: readonly HeadPlace[] | undefined;
}

/** Tokens of a pass. */
const CHUNK_TOKENS = 512;
const DEFAULT_HEADS = 6;

/**
 * Runs the model over the text with full attention, and takes what its heads see. Throws `invalid-argument` where the
 * text is too short, a head does not exist or queries are more than tokens, and what sessions throw.
 */
export async function captureHeads(options: CaptureHeadsOptions): Promise<CapturedHead[]> {
  const { model, text, tokens: count = 8192, offset = 0, lastQueries = 128 } = options;
  const { signal, onProgress } = workOf(options);
  const { heads: places = evenlySpacedHeads(model.config) } = options;
  checkPlaces(places, model.config);
  checkLastQueries(lastQueries, count);
  const tokens = takeTokens(model.tokenizer.encode(text.content), { name: text.name, offset, count });
  const { heads, keyValueHeads, headDim } = model.config;
  const group = heads / keyValueHeads;
  const captured = places.map(
    ({ layer, keyValueHead }): CapturedHead => ({
      name: `l${layer}.g${keyValueHead}`,
      headDim,
      n: count,
      group,
      lastQueries,
      keys: new Float32Array(),
      values: new Float32Array(),
      queries: new Float32Array(group * lastQueries * headDim),
    }),
  );
  // float32, so that nothing is rounded before it is written.
  await using session = await model.createSession({ attention: { policy: 'dense' }, cachePrecision: 'f32' });
  const onAttention = (event: AttentionEvent) => {
    for (const [i, place] of places.entries()) {
      const head = captured[i] as CapturedHead;
      if (place.layer !== event.modelLayer) continue;
      takeQueries(head, place.keyValueHead, event);
      // The cache of a layer has all its keys with the last pass.
      if (event.position + rowsOf(event) === count) {
        const { cache } = event.attention;
        head.keys = cache.read(event.layer, place.keyValueHead, 'keys', 0, count);
        head.values = cache.read(event.layer, place.keyValueHead, 'values', 0, count);
      }
    }
  };
  const reading = { chunkTokens: CHUNK_TOKENS, shareSamples: true, logits: false, onAttention, signal };
  onProgress('reading', 0, count);
  for await (const _ of session.evaluate(tokens, reading)) onProgress('reading', session.tokens.length, count);
  return captured;
}

/** Queries in an event. */
const rowsOf = ({ queries, attention }: AttentionEvent): number =>
  queries.length / (attention.heads * attention.cache.shape.headDim);

/** Takes the queries of the last positions from a pass. */
function takeQueries(head: CapturedHead, keyValueHead: number, event: AttentionEvent): void {
  const { n, group, lastQueries, headDim, queries } = head;
  const width = event.attention.heads * headDim;
  for (let row = 0; row < rowsOf(event); row++) {
    const index = event.position + row - (n - lastQueries);
    if (index < 0) continue;
    for (let member = 0; member < group; member++) {
      const from = row * width + (keyValueHead * group + member) * headDim;
      queries.set(event.queries.subarray(from, from + headDim), (member * lastQueries + index) * headDim);
    }
  }
}

/** One key-value head of each of six layers, evenly from the first to the last, another one each time. */
function evenlySpacedHeads(config: Model['config']): HeadPlace[] {
  const { keyValueHeads } = config;
  const layers = selectiveLayers(config);
  const count = Math.min(DEFAULT_HEADS, layers.length);
  return Array.from({ length: count }, (_, i) => ({
    layer: layers[count === 1 ? 0 : Math.round((i * (layers.length - 1)) / (count - 1))] as number,
    keyValueHead: i % keyValueHeads,
  }));
}

function checkPlaces(places: readonly HeadPlace[], config: Model['config']): void {
  const { layers, keyValueHeads } = config;
  const captured = selectiveLayers(config);
  const isPlace = ({ layer, keyValueHead }: HeadPlace) =>
    captured.includes(layer) && Number.isSafeInteger(keyValueHead) && keyValueHead >= 0 && keyValueHead < keyValueHeads;
  const names = places.map(({ layer, keyValueHead }) => `l${layer}.g${keyValueHead}`);
  if (places.length > 0 && places.every(isPlace) && new Set(names).size === names.length) return;
  throw labError({
    code: 'invalid-argument',
    problem: `Heads to capture are different ones of ${captured.length} layers with ${keyValueHeads} key-value heads each.`,
    found: names.join(', ') || 'none',
    remedy:
      captured.length === layers
        ? `Name them from l0.g0 to l${layers - 1}.g${keyValueHeads - 1}.`
        : `Name heads of the layers ${captured.join(', ')}: the others have a window or a soft cap, and read all keys.`,
  });
}

function checkLastQueries(lastQueries: number, tokens: number): void {
  if (Number.isSafeInteger(lastQueries) && lastQueries > 0 && lastQueries <= tokens) return;
  throw labError({
    code: 'invalid-argument',
    problem: 'Queries are captured at some of the last positions of the text.',
    found: `${lastQueries} queries of ${tokens} tokens`,
    remedy: 'Capture at least one query, and no more than tokens.',
  });
}
