import { describe, expect, it } from 'vitest';
import { createSessionPool, reuseCost, type ServedSession } from './session-pool.ts';

/** Sessions whose caches hold what a test puts there. */
function createSessions() {
  const made: (ServedSession & { tokens: number[]; disposed: boolean })[] = [];
  return {
    made,
    async createSession() {
      const tokens: number[] = [];
      const session = {
        tokens,
        disposed: false,
        get memory() {
          return { proportional: tokens.length };
        },
        generate() {
          throw new Error('not here');
        },
        async dispose() {
          session.disposed = true;
        },
      };
      made.push(session);
      return session;
    },
  };
}

const tokens = (...ids: number[]) => Int32Array.from(ids);
const repeat = (id: number, count: number) => Int32Array.from({ length: count }, () => id);

describe('a pool of sessions', () => {
  it('costs what must be read, and half of what is lost', () => {
    expect(reuseCost([1, 2, 3], tokens(1, 2, 3, 4))).toBe(1);
    expect(reuseCost([1, 2, 3], tokens(1, 9))).toBe(1 + 1);
    expect(reuseCost([], tokens(1, 2))).toBe(2);
  });

  it('serves a prompt from the session that has most of it', async () => {
    const sessions = createSessions();
    const pool = createSessionPool(sessions, { maxSessions: 3, maxCacheBytes: 1e9 });
    for (const id of [1, 2]) {
      const lease = await pool.lease(repeat(id, 50), {});
      sessions.made[id - 1]?.tokens.push(...repeat(id, 50));
      await lease.release();
    }
    for (const id of [2, 1]) {
      const lease = await pool.lease(repeat(id, 60), {});
      expect(lease.session).toBe(sessions.made[id - 1]);
      await lease.release();
    }
    expect(pool.sessions).toBe(2);
  });

  it('spares a long cache for a prompt that shares little of it, as long as there is room', async () => {
    const sessions = createSessions();
    const pool = createSessionPool(sessions, { maxSessions: 2, maxCacheBytes: 1e9 });
    const first = await pool.lease(tokens(1), {});
    sessions.made[0]?.tokens.push(...repeat(1, 100));
    await first.release();
    const other = tokens(...repeat(1, 5), ...repeat(7, 20));
    const second = await pool.lease(other, {});
    expect(second.session).toBe(sessions.made[1]);
    await second.release();
    // Without room, the session where least is lost is taken.
    sessions.made[1]?.tokens.push(...other);
    const third = await pool.lease(repeat(9, 10), {});
    expect(third.session).toBe(sessions.made[1]);
  });

  it('gives a session to one request at a time, and other settings another one', async () => {
    const sessions = createSessions();
    const pool = createSessionPool(sessions, { maxSessions: 2, maxCacheBytes: 1e9 });
    const a = await pool.lease(tokens(1), {});
    const b = await pool.lease(tokens(1), {});
    expect(a.session).not.toBe(b.session);
    await a.release();
    const c = await pool.lease(tokens(1), { attention: { policy: 'dense' } });
    expect([c.session === a.session, sessions.made[0]?.disposed]).toEqual([false, true]);
    expect(pool.sessions).toBe(2);
  });

  it('lets go of sessions that failed, and of the oldest where caches are too large', async () => {
    const sessions = createSessions();
    const pool = createSessionPool(sessions, { maxSessions: 3, maxCacheBytes: 100 });
    await (await pool.lease(tokens(1), {})).release({ failed: true });
    expect([sessions.made[0]?.disposed, pool.sessions]).toEqual([true, 0]);
    for (const id of [1, 2]) {
      const lease = await pool.lease(repeat(id, 60), {});
      sessions.made[id]?.tokens.push(...repeat(id, 60));
      await lease.release();
    }
    expect(sessions.made.map(({ disposed }) => disposed)).toEqual([true, true, false]);
    expect(pool.cacheBytes).toBe(60);
    await pool.dispose();
    expect(pool.sessions).toBe(0);
  });
});
