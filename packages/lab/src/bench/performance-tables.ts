/** Questions of the page on performance about the attention alone, the dense fallback and memory. */
import { formatBytes, formatCount, formatSpread } from '../format/format.ts';
import type { NumberedReport, Question } from './performance-question.ts';
import type { MemoryReport, ScalingReport, StepsReport } from './reports.ts';
import { describeLargestJump, stepsTable } from './steps-table.ts';

export function growthTable(unordered: readonly NumberedReport<ScalingReport>[]): Question {
  const reports = [...unordered].sort((a, b) => a.headDim - b.headDim);
  const [first] = reports;
  const operators = Object.keys(first?.lengths[0]?.operators ?? {});
  return {
    title: 'How does one step of attention grow with the context?',
    about:
      'CPU milliseconds of one step of one layer, one GQA group on one thread, over random keys that no processor cache ' +
      `holds: d is the dimension of a head. ${operators.join(' and ')} are ONNX Runtime's, over float32; "ONNX" is the ` +
      'faster of them. Ratios are times by our own.',
    names: [
      'd',
      'keys',
      `${first?.policy ?? ''} ${first?.budget ?? ''}`.trim(),
      'full f16',
      'full f32',
      ...operators,
      'f16 / ours',
      'f32 / ours',
      'ONNX / ours',
      'bytes a key',
      'output error',
      'run',
    ],
    rows: reports.flatMap(({ run, headDim, lengths }) =>
      lengths.map(({ n, ms, operators: times, speedup, outputError, bytesPerKey }) => [
        String(headDim),
        formatCount(n),
        ...[ms.policy, ms.f16, ms.f32, ...Object.values(times)].map(({ median }) => median.toFixed(3)),
        ...[speedup.f16, speedup.f32, speedup.onnx].map((ratio) => formatSpread(ratio, 2)),
        bytesPerKey.toFixed(1),
        outputError.policy.toPrecision(2),
        String(run),
      ]),
    ),
    notes: reports.map(describeExponents),
  };
}

function describeExponents({ headDim, exponents }: ScalingReport): string {
  const fits = Object.entries(exponents ?? {}).map(([name, c]) => `${name} ${c.toFixed(2)}`);
  return `Exponents of n from 8,192 keys on, d = ${headDim}: ${fits.length > 0 ? fits.join(', ') : 'too few lengths'}.`;
}

export function fallbackTable(reports: readonly NumberedReport<StepsReport>[]): Question {
  const [first] = reports;
  return {
    title: 'From which length on is attention sparse, and is there a jump?',
    about:
      'Milliseconds of a token by its position: below a length that is measured on the machine, full attention is faster. ' +
      'Each bin is timed in turns with the one before it.',
    names: [...(first === undefined ? [] : stepsTable(first).names), 'run'],
    rows: reports.flatMap((report) => stepsTable(report).rows.map((row) => [...row, String(report.run)])),
    notes: reports.map(describeLargestJump),
  };
}

export function tokenMemoryTable(reports: readonly NumberedReport<MemoryReport>[]): Question {
  return {
    title: 'How much memory does a token take?',
    about: 'Bytes of a token in the cache, by how its rows are stored and which encodings a policy reads beside them.',
    names: ['cache', 'policy', 'encodings', 'bytes a token', 'run'],
    rows: reports.flatMap(({ run, encodingSets }) =>
      encodingSets.map(({ precision, policy, encodings, bytesPerToken }) => [
        precision,
        policy,
        encodings.join(', '),
        formatCount(bytesPerToken),
        String(run),
      ]),
    ),
  };
}

export function processMemoryTable(reports: readonly NumberedReport<MemoryReport>[]): Question {
  return {
    title: 'How much memory does a process with a full cache take?',
    about:
      'The cache with the buffers of the attention, and the whole process: as `inspect` predicts it, and as it is.',
    names: ['tokens', 'cache', 'policy', 'cache and buffers', 'predicted', 'process', 'peak', 'ms of attention', 'run'],
    rows: reports.flatMap(({ run, tokens, filled }) =>
      filled.map(({ attention, precision, bytes, predictedBytes, residentBytes, peakBytes, stepMs }) => [
        formatCount(tokens),
        precision,
        attention.policy,
        ...[bytes, predictedBytes, residentBytes, peakBytes].map(formatBytes),
        formatSpread(stepMs, 1),
        String(run),
      ]),
    ),
  };
}
