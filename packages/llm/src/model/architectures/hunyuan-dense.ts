/** Hunyuan dense models (huggingface.co/tencent): norms of queries and keys by head, after RoPE. */
import type { Architecture } from '../decoder/architecture.ts';

const hunyuanDense: Architecture = {
  name: 'hunyuan-dense',
  describe: () => ({ ropePairs: 'halves', queryKeyNorm: { over: 'head', after: 'rope' } }),
};

export default hunyuanDense;
