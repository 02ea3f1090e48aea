/** What the other packages of Keysieve use of this one, and no one else should: it changes in any version. */
export { acquireLock, acquireLockUnlessHeld, type Lock } from './file-lock.ts';
