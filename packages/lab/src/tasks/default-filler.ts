import { readFile } from 'node:fs/promises';
import { packageFile } from '../package-file.ts';

/** The text around the facts of tasks where the caller gives none: the licence that comes with this package. */
export const defaultFiller = (): Promise<string> => readFile(packageFile('LICENSE'), 'utf8');
