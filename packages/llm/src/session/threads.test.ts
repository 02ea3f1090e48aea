import { describe, expect, it, vi } from 'vitest';
import { usableProcessors } from '#platform';
import { checkThreads } from './threads.ts';

describe('more threads than processors', () => {
  it('are warned about, and refused where they are far too many', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const processors = await usableProcessors();
    await checkThreads(processors);
    expect(warn).not.toHaveBeenCalled();
    await checkThreads(processors + 1);
    expect(warn).toHaveBeenCalledOnce();
    await expect(checkThreads(5000)).rejects.toMatchObject({ code: 'invalid-argument', found: 5000 });
    warn.mockRestore();
  });
});
