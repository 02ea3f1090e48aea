/**
 * Which keys of one query come first, for several numbers of keys at once and without sorting them: scores are counted
 * in bins, from the largest on, and only the keys of bins in which a number ends are put in order. What comes out is
 * exact; of equal scores the earlier key comes first, as selectors have it.
 */
import { sinksAndRecent } from '../../selectors/selector.ts';

/** Few enough for tables in the first-level cache, enough to keep bins to a few keys. */
const BINS = 2048;
/** A bin of its own for keys whose tier is looked up one by one. */
const PER_KEY_BIN = BINS;
/** The tier of keys that no rung has, and of those that are looked up. */
const NO_TIER = 255;
const PER_KEY_TIER = 254;
export const MAX_RUNGS = PER_KEY_TIER;
/** Members of a bin that are put in order by insertion. */
const MAX_INSERTION_SORT = 48;

/** What the scores of a query say about its softmax. */
export interface SoftmaxStatistics {
  /** Sum of e^(score - largest). */
  total: number;
  max: number;
  /** In nats. */
  entropy: number;
  /** Standard deviation of the scores, in nats. */
  spread: number;
}

/** A bin in which a number of keys ends, and the part of the member list that has its keys. */
interface BinMembers {
  bin: number;
  start: number;
  end: number;
}

/** Ranks the keys of one query after the other; holds the scratch for that. */
export class Ranking {
  #scores: Float32Array = new Float32Array();
  #bins = new Uint16Array();
  #tiers = new Uint8Array();
  #members = new Int32Array();
  readonly #counts = new Int32Array(BINS);
  readonly #sums = new Float64Array(BINS);
  readonly #binTiers = new Uint8Array(BINS + 1);
  readonly #memberListOf = new Int16Array(BINS);
  #facts: SoftmaxStatistics = { total: 0, max: 0, entropy: 0, spread: 0 };

  /** Takes the scores of a query. They must stay as they are until its tiers have been written. */
  load(scores: Float32Array): SoftmaxStatistics {
    const n = scores.length;
    if (n > this.#bins.length) {
      this.#bins = new Uint16Array(n);
      this.#tiers = new Uint8Array(n);
      this.#members = new Int32Array(n);
    }
    this.#scores = scores;
    let [max, min, sum] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 0];
    for (let i = 0; i < n; i++) {
      const score = scores[i] as number;
      if (score > max) max = score;
      if (score < min) min = score;
      sum += score;
    }
    const [bins, counts, sums] = [this.#bins, this.#counts.fill(0), this.#sums.fill(0)];
    const scale = max > min ? (BINS - 1) / (max - min) : 0;
    const mean = sum / n;
    let [total, weighted, squares] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const score = scores[i] as number;
      const below = max - score;
      const weight = Math.exp(-below);
      const bin = (below * scale) | 0;
      bins[i] = bin;
      counts[bin] = (counts[bin] as number) + 1;
      sums[bin] = (sums[bin] as number) + weight;
      total += weight;
      weighted += weight * below;
      squares += (score - mean) ** 2;
    }
    this.#facts = {
      total,
      max,
      entropy: Math.log(total) + weighted / total,
      spread: Math.sqrt(squares / n),
    };
    return this.#facts;
  }

  /** The fewest keys that leave at most each of the shares unread, into `target`. */
  keysForMass(shares: readonly number[], target: Float32Array): void {
    const { total, max } = this.#facts;
    const n = this.#scores.length;
    const unreadTails = shares.map((share) => {
      const allowed = share * total;
      let [bin, unread, dropped] = [BINS - 1, 0, 0];
      for (; bin > 0 && unread + (this.#sums[bin] as number) <= allowed; bin--) {
        unread += this.#sums[bin] as number;
        dropped += this.#counts[bin] as number;
      }
      return { allowed, bin, unread, dropped };
    });
    const binMembers = this.#collectMembers(unreadTails.map(({ bin }) => bin));
    for (const [i, { allowed, bin, unread, dropped }] of unreadTails.entries()) {
      const { start, end } = binMembers.find((cut) => cut.bin === bin) as BinMembers;
      let [rest, keys] = [unread, n - dropped];
      for (let at = end - 1; at >= start && keys > 1; at--) {
        rest += Math.exp((this.#scores[this.#members[at] as number] as number) - max);
        if (rest > allowed) break;
        keys--;
      }
      target[i] = keys;
    }
  }

  /**
   * Writes the positions of the keys that a selector by scores takes for each of the numbers of keys `ladder`, which
   * ascend and are below n: those of a rung that the one before it does not have, in ascending order, at [before, rung)
   * of `positions`. Once for each query, and last.
   */
  writeTiers(ladder: readonly number[], positions: Int32Array): void {
    const n = this.#scores.length;
    const [bins, binTiers] = [this.#bins, this.#binTiers];
    const rungs = ladder.map((keys) => this.#rungEnd(keys));
    const binMembers = this.#collectMembers(rungs.map(({ bin }) => bin));
    // Bins that are wholly above the cut of a rung belong to it, and later ones to the next.
    let rung = 0;
    for (let bin = 0; bin < BINS; bin++) {
      while (rung < rungs.length && (rungs[rung] as Rung).bin <= bin) rung++;
      binTiers[bin] = rung < rungs.length ? rung : NO_TIER;
    }
    for (const { bin, start, end } of binMembers) {
      const below = binTiers[bin] as number;
      binTiers[bin] = PER_KEY_TIER;
      for (let at = start; at < end; at++) this.#tiers[this.#members[at] as number] = below;
      for (let tier = rungs.length - 1; tier >= 0; tier--) {
        const { bin: rungBin, rest, sinks, recent } = rungs[tier] as Rung;
        if (rungBin !== bin) continue;
        for (let at = start, taken = 0; at < end && taken < rest; at++) {
          const position = this.#members[at] as number;
          if (position < sinks || position >= n - recent) continue;
          this.#tiers[position] = tier;
          taken++;
        }
      }
    }
    binTiers[PER_KEY_BIN] = PER_KEY_TIER;
    // From the last rung on, so that the first one that keeps a key has the last word.
    for (let tier = rungs.length - 1; tier >= 0; tier--) {
      const { sinks, recent } = rungs[tier] as Rung;
      const keep = (position: number) => {
        const bin = bins[position] as number;
        const currentTier =
          binTiers[bin] === PER_KEY_TIER ? (this.#tiers[position] as number) : (binTiers[bin] as number);
        this.#tiers[position] = Math.min(currentTier, tier);
        bins[position] = PER_KEY_BIN;
      };
      for (let i = 0; i < sinks; i++) keep(i);
      for (let i = 0; i < recent; i++) keep(n - 1 - i);
    }
    const fill = Int32Array.of(0, ...ladder);
    const tiers = this.#tiers;
    for (let i = 0; i < n; i++) {
      let tier = binTiers[bins[i] as number] as number;
      if (tier === PER_KEY_TIER) tier = tiers[i] as number;
      if (tier === NO_TIER) continue;
      const at = fill[tier] as number;
      positions[at] = i;
      fill[tier] = at + 1;
    }
  }

  /** Where a rung ends: it takes the bins before `bin`, and the first `rest` keys of that, beside the kept ones. */
  #rungEnd(keys: number): Rung {
    const n = this.#scores.length;
    const [bins, counts] = [this.#bins, this.#counts];
    const { sinks, recent } = sinksAndRecent(keys);
    const between = keys - sinks - recent;
    for (let i = 0; i < sinks; i++) (counts[bins[i] as number] as number)--;
    for (let i = n - recent; i < n; i++) (counts[bins[i] as number] as number)--;
    let [bin, taken] = [0, 0];
    while (bin < BINS - 1 && taken + (counts[bin] as number) <= between) taken += counts[bin++] as number;
    for (let i = 0; i < sinks; i++) (counts[bins[i] as number] as number)++;
    for (let i = n - recent; i < n; i++) (counts[bins[i] as number] as number)++;
    return { bin, rest: between - taken, sinks, recent };
  }

  /** Lists the keys of some bins, each bin in order. */
  #collectMembers(requestedBins: readonly number[]): BinMembers[] {
    const [bins, memberListOf, members] = [this.#bins, this.#memberListOf.fill(-1), this.#members];
    const binMembers: BinMembers[] = [];
    let end = 0;
    for (const bin of new Set(requestedBins)) {
      memberListOf[bin] = binMembers.length;
      binMembers.push({ bin, start: end, end });
      end += this.#counts[bin] as number;
    }
    for (let i = 0; i < this.#scores.length; i++) {
      const at = memberListOf[bins[i] as number] as number;
      if (at >= 0) members[(binMembers[at] as BinMembers).end++] = i;
    }
    for (const { start, end } of binMembers) this.#sort(start, end);
    return binMembers;
  }

  /** Puts members [start, end), which ascend, in descending order of their scores. */
  #sort(start: number, end: number): void {
    const [members, scores] = [this.#members, this.#scores];
    if (end - start > MAX_INSERTION_SORT) {
      const scoreOf = (position: number) => scores[position] as number;
      members.subarray(start, end).sort((a, b) => scoreOf(b) - scoreOf(a) || a - b);
      return;
    }
    for (let i = start + 1; i < end; i++) {
      const member = members[i] as number;
      const score = scores[member] as number;
      let at = i;
      for (; at > start && (scores[members[at - 1] as number] as number) < score; at--) {
        members[at] = members[at - 1] as number;
      }
      members[at] = member;
    }
  }
}

interface Rung {
  bin: number;
  rest: number;
  sinks: number;
  recent: number;
}
