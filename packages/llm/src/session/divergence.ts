/** KL(softmax(p) || softmax(q)) of two rows of logits, in nats. */
export function klDivergence(p: Float32Array, q: Float32Array): number {
  const logSumExp = (row: Float32Array) => {
    const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    return max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
  };
  const zp = logSumExp(p);
  const zq = logSumExp(q);
  return p.reduce((sum, x, i) => sum + Math.exp(x - zp) * (x - zp - ((q[i] as number) - zq)), 0);
}
