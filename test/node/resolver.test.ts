import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LATE_ANSWER_MS, ServerResolver } from '../../src/node/resolver.js';
import type { ResolvedAddress } from '../../src/node/server-address.js';

const FOUND: ResolvedAddress[] = [{ address: '192.0.2.1', family: 4 }];
const nothing = (): void => undefined;

describe('the names of servers', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  it('keep their last good answer while there is none', async () => {
    const answers = [FOUND, [], undefined];
    const resolver = new ServerResolver(async () => {
      const answer = answers.shift();
      if (answer === undefined) throw new Error('EAI_AGAIN');
      return answer;
    });
    for (let count = 0; count < 3; count++) {
      expect((await resolver.resolve(['a'], nothing)).get('a')).toEqual(FOUND);
    }
    expect(answers).toEqual([]);
  });

  it('do not wait for one that is slow, which is told later', async () => {
    let answer: (found: ResolvedAddress[]) => void = nothing;
    let asked = 0;
    const resolver = new ServerResolver((host) => {
      if (host === 'fast') return Promise.resolve(FOUND);
      asked += 1;
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    const told = new Promise<void>((resolve) => {
      const asking = resolver.resolve(['fast', 'slow'], resolve);
      vi.advanceTimersByTime(LATE_ANSWER_MS);
      void asking.then((found) => {
        expect(found.get('fast')).toEqual(FOUND);
        expect(found.get('slow')).toEqual([]);
        answer(FOUND);
      });
    });
    await told;
    expect((await resolver.resolve(['slow'], nothing)).get('slow')).toEqual(FOUND);
    expect(asked).toBe(1);
  });
});
