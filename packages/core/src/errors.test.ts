import { describe, expect, expectTypeOf, it } from 'vitest';
import { type CoreErrorCode, hasErrorCode, invariant, isCoreError, KeysieveError } from './errors.ts';

describe('KeysieveError', () => {
  it('says what went wrong, what was found, and the way out', () => {
    const cause = new Error('underneath');
    const error = new KeysieveError({
      code: 'cache-full',
      problem: 'It is full.',
      found: 3,
      remedy: 'Empty it.',
      cause,
    });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'KeysieveError', code: 'cache-full', found: 3, remedy: 'Empty it.', cause });
    expect(error.message).toBe('It is full. Found: 3. Empty it.');
  });

  it('leaves out what there is not, and keeps values that are empty', () => {
    const details = { code: 'disposed', problem: 'Gone.', remedy: 'Come back.' };
    expect(new KeysieveError(details).message).toBe('Gone. Come back.');
    expect('cause' in new KeysieveError(details)).toBe(false);
    expect(new KeysieveError({ ...details, found: 0 }).message).toBe('Gone. Found: 0. Come back.');
    expect(new KeysieveError({ ...details, found: 'No.' }).message).toBe('Gone. Found: No. Come back.');
    expect(new KeysieveError({ ...details, found: '' }).message).toBe('Gone. Found: . Come back.');
  });
});

describe('isCoreError', () => {
  it('tells errors of this package from others, and gives their code its type', () => {
    const error: unknown = new KeysieveError({ code: 'disposed', problem: 'Gone.', remedy: 'Come back.' });
    expect(isCoreError(new Error('another'))).toBe(false);
    if (!isCoreError(error)) expect.fail('it is one');
    expectTypeOf(error.code).toEqualTypeOf<CoreErrorCode>();
    if (error.code === 'disposed') expectTypeOf(error).toEqualTypeOf<KeysieveError<'disposed'>>();
    expect(error.code).toBe('disposed');
  });

  it('is not taken in by a code of another package', () => {
    const error = new KeysieveError({ code: 'of-another-package', problem: 'Gone.', remedy: 'Come back.' });
    expect(isCoreError(error)).toBe(false);
    expect(hasErrorCode(error, ['of-another-package'])).toBe(true);
    expect(hasErrorCode({ code: 'of-another-package' }, ['of-another-package'])).toBe(false);
  });
});

describe('invariant', () => {
  it('throws when its condition does not hold, and asks for the details only then', () => {
    invariant(true, () => expect.fail('nobody asked'));
    expect(() => invariant(false, () => ({ code: 'aborted', problem: 'No.', remedy: 'Yes.' }))).toThrow('No. Yes.');
  });
});
