/**
 * Prints how many tests passed, failed and were skipped: `node count-tests.mjs REPORT STATUS`, where REPORT is the
 * JSON that vitest wrote and STATUS the exit status of the run.
 *
 * A file that failed without a failed test (it did not load) counts as one failure, and so does a run that ended
 * with an error although every test passed, or that ran no test at all. Without a report there is nothing to count.
 */
import { existsSync, readFileSync } from 'node:fs';

const [report, status] = process.argv.slice(2);
if (!existsSync(report)) {
  console.error(`There is no test report at ${report}: the tests did not run.`);
  process.exit(1);
}
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
  readFileSync(report, 'utf8'),
);
const brokenFiles = testResults.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
).length;

let failed = numFailedTests + brokenFiles;
if (failed === 0 && (status !== '0' || numPassedTests === 0)) failed = 1;
console.log(numPassedTests, failed, numPendingTests + numTodoTests);
