/**
 * Taking a hint (arXiv 2003.01922, Wei, Luo, Agarwal; COLT 2020): contextual bandits with a predictor of losses.
 *
 * In round t an arm a is played in a context x_t; m_t(a) predicts its loss l_t(a); E = sum_t max_a (l_t(a) - m_t(a))^2. Against
 * N policies the regret is O(min(sqrt T, sqrt E T^1/4)) up to factors of A and ln N, where E is known, by remapping:
 *
 *   sigma = sqrt(E) T^-1/4;  b = argmin_a m_t(a);  an arm with m_t(a) > m_t(b) + sigma is remapped to b               (1)
 *   p_t(a) = weight of the policies whose remapped arm is a;  a_t ~ p_t                                                (2)
 *   l~_t(a) = (l_t(a) - m_t(b)) [a = a_t] / p_t(a);  weight of pi *= exp(-eta l~_t(pi(x_t)))                            (3)
 *   eta = sqrt(2 ln N / (T A)) / sigma
 *
 * Remapping costs at most E / sigma, since it hurts only where the predictor errs by sigma; the numbers of (3) are of
 * size sigma. Steps derived from the bound; the rates agree. With sigma = 1 and no predictor it is EXP4.
 */

import { mean } from '../numerics/statistics.ts';
import { atMost, type Figure, type Method, outcomeOf, short } from './method.ts';
import { at, checkCount, checkPositive, createRandom, invalid, max, type Random } from './numbers.ts';

export interface BanditOptions {
  rounds: number;
  arms: number;
  /** Arm of every policy in every context: (N, contexts) */
  policies: readonly Uint8Array[];
  /** E, if there is a predictor. */
  squaredErrors: number | null;
  random: Random;
}

export interface Round {
  context: number;
  /** m_t: (arms); not read without a predictor. */
  predicted: Float64Array;
  /** l_t(a) of the arm that is played. */
  loss(arm: number): number;
}

/** (1) to (3): plays all rounds, and gives the losses that were paid in all. */
export function playBandit(options: BanditOptions, roundAt: (t: number) => Round): number {
  const { rounds, arms, policies, squaredErrors, random } = options;
  checkCount(rounds, 'The number of rounds', 1);
  checkCount(arms, 'The number of arms', 2, 256);
  if (policies.length === 0) throw invalid('There are no policies.', 0, 'Give one at least.');
  if (squaredErrors !== null) checkPositive(squaredErrors, 'The squared error E of the predictor');
  const sigma = squaredErrors === null ? 1 : Math.min(1, Math.sqrt(squaredErrors) * rounds ** -0.25);
  const eta = Math.sqrt((2 * Math.log(policies.length)) / (rounds * arms)) / sigma;
  // Cumulative estimated losses of the policies: (N)
  const estimated = new Float64Array(policies.length);
  const probabilities = new Float64Array(arms);
  const chosen = new Uint8Array(policies.length);
  let paid = 0;
  for (let t = 0; t < rounds; t++) {
    const { context, predicted, loss } = roundAt(t);
    let best = 0;
    for (let a = 1; a < arms; a++) if (at(predicted, a) < at(predicted, best)) best = a;
    const reference = squaredErrors === null ? 0 : at(predicted, best);
    const least = -max(estimated.map((x) => -x));
    probabilities.fill(0);
    let total = 0;
    for (const [i, policy] of policies.entries()) {
      const paidLoss = at(policy, context);
      const remapped = squaredErrors !== null && at(predicted, paidLoss) > reference + sigma ? best : paidLoss;
      const weight = Math.exp(-eta * (at(estimated, i) - least));
      chosen[i] = remapped;
      probabilities[remapped] = at(probabilities, remapped) + weight;
      total += weight;
    }
    let drawn = random.uniform() * total;
    let arm = 0;
    while (arm < arms - 1 && drawn >= at(probabilities, arm)) drawn -= at(probabilities, arm++);
    // Rounding may end on an arm that no policy plays.
    if (at(probabilities, arm) === 0) arm = at(chosen, 0);
    const paidLoss = loss(arm);
    paid += paidLoss;
    const estimate = (paidLoss - reference) / (at(probabilities, arm) / total);
    for (let i = 0; i < chosen.length; i++) if (chosen[i] === arm) estimated[i] = at(estimated, i) + estimate;
  }
  return paid;
}

const PLANTED = {
  rounds: 20_000,
  arms: 5,
  contexts: 40,
  policies: 60,
  mixtures: 19,
  sizes: [0.003, 0.01, 0.03, 0.1],
  repetitions: 2,
};

/**
 * In every context the best arm costs .5, a decoy 1.5 s more, the others .3 more. The predictor errs by s on both of
 * the first, so that it prefers the decoy. Of the policies one plays the best arms, one the decoys, some mix both, and the others are random.
 */
function plantedBandit(random: Random, s: number) {
  const { arms, contexts, policies, mixtures } = PLANTED;
  const [best, decoy] = [new Uint8Array(contexts), new Uint8Array(contexts)];
  for (let x = 0; x < contexts; x++) [best[x], decoy[x]] = random.distinct(2, arms) as [number, number];
  const lossOf = (x: number, a: number) => 0.5 + (a === best[x] ? 0 : a === decoy[x] ? 1.5 * s : 0.3);
  const predicted = Array.from({ length: contexts }, (_, x) =>
    Float64Array.from({ length: arms }, (_, a) => lossOf(x, a) + (a === best[x] ? s : a === decoy[x] ? -s : 0)),
  );
  const mixed = Array.from({ length: mixtures }, (_, i) =>
    best.map((arm, x) => (random.uniform() < (i + 1) / (mixtures + 1) ? arm : at(decoy, x))),
  );
  const others = Array.from({ length: policies - mixtures - 2 }, () => best.map(() => random.below(arms)));
  return { lossOf, predicted, policies: [best, decoy, ...mixed, ...others] };
}

interface Regrets {
  remapped: number;
  exp4: number;
  /** Of playing what the predictor prefers. */
  greedy: number;
}

/** Means over repetitions. `told` is the E that the algorithm is told. */
function regretsOf(random: Random, s: number, claimedErrors = PLANTED.rounds * s * s): Regrets {
  const { rounds, arms, contexts, repetitions } = PLANTED;
  const runs = Array.from({ length: repetitions }, () => {
    const { lossOf, predicted, policies } = plantedBandit(random, s);
    const drawn = Uint8Array.from({ length: rounds }, () => random.below(contexts));
    const roundAt = (t: number): Round => {
      const context = at(drawn, t);
      return { context, predicted: predicted[context] as Float64Array, loss: (arm) => lossOf(context, arm) };
    };
    const options = { rounds, arms, policies, random };
    const least = 0.5 * rounds;
    return {
      remapped: playBandit({ ...options, squaredErrors: claimedErrors }, roundAt) - least,
      exp4: playBandit({ ...options, squaredErrors: null }, roundAt) - least,
    };
  });
  return {
    remapped: mean(runs.map(({ remapped }) => remapped)),
    exp4: mean(runs.map(({ exp4 }) => exp4)),
    greedy: 1.5 * s * rounds,
  };
}

const rateOf = (s: number): number => Math.sqrt(PLANTED.rounds * s * s) * PLANTED.rounds ** 0.25;

export const hintedBandit: Method = {
  name: 'hinted-bandit',
  paper: '2003.01922',
  title: 'Taking a hint: how to leverage loss predictors in contextual bandits',
  authors: 'Wei, Luo, Agarwal (COLT 2020)',
  statement:
    'A predictor of losses with squared error E turns a regret of sqrt T into sqrt E T^1/4, and a bad one costs little.',
  criterion:
    'The regret is at most 4 sqrt E T^1/4; where the predictor errs by 0.01 it is a third of that of EXP4 and of the predictor at most, ' +
    'and where it errs by 0.1 at most 1.2 times that of EXP4.',
  place: {
    kind: 'none',
    what:
      'none for the bandit: an error at one budget tells that at another, so there is nothing to explore. An average over ' +
      'the errors that heads have shown divides a budget as well.',
  },
  planted(seed) {
    const random = createRandom(seed);
    const figures: Figure[] = [];
    const rows = PLANTED.sizes.map((s) => {
      const { remapped, exp4, greedy } = regretsOf(random, s);
      figures.push(atMost(`error ${s}: regret`, remapped, 4 * rateOf(s)));
      if (s === 0.01) {
        figures.push(atMost(`error ${s}: regret / that of EXP4`, remapped / exp4, 1 / 3));
        figures.push(atMost(`error ${s}: regret / that of the predictor`, remapped / greedy, 1 / 3));
      }
      if (s === 0.1) figures.push(atMost(`error ${s}: regret / that of EXP4`, remapped / exp4, 1.2));
      return [String(s), short(remapped), short(exp4), short(greedy), short(rateOf(s))];
    });
    const columns = ['error of the predictor', 'remapped', 'EXP4', 'predictor alone', 'sqrt E T^1/4'];
    return outcomeOf(figures, [{ caption: `Regret after ${PLANTED.rounds} rounds, mean`, columns, rows }]);
  },
  failing: {
    what: 'a predictor that errs by 0.1 and is said to have a squared error of 0.2',
    planted(seed) {
      const { remapped } = regretsOf(createRandom(seed), 0.1, 0.2);
      return outcomeOf([atMost('regret', remapped, 4 * rateOf(0.1))]);
    },
  },
};
