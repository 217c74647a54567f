import { describe, expect, it } from 'vitest';
import {
  AddressBook,
  type AddressOutcome,
  type Challenge,
  hostOf,
  MAX_CANDIDATES,
  MAX_CHALLENGES,
  MAX_PREVIOUS_CHALLENGES,
  REFUSED_FOR_MS,
  SPEC_AMPLIFICATION_FACTOR,
  SPEC_INITIAL_RTT_MS,
} from '../../src/core/address-book.js';
import type { Instant } from '../../src/core/contract.js';
import { TestPrng } from '../helpers/prng.js';

const HOME = '10.0.0.1:1000';
const AWAY = '10.0.0.2:2000';
const PACKET = 80;
const RETRY_MS = 100;

function at(ms: number): Instant {
  return ms as Instant;
}

/** A book with the time that its calls need. */
class Scene {
  readonly book: AddressBook;
  readonly sent: Challenge[] = [];
  now = 0;

  constructor({ validated = true, canMove = true } = {}) {
    const random = new TestPrng(1);
    this.book = new AddressBook(HOME, validated, canMove, (n) => random.bytes(n), at(0));
  }

  receive(from: string, bytes = 1_200, isNewest = true): void {
    this.book.received(from, bytes, isNewest, at(this.now));
  }

  /** Sends every challenge that is due now. */
  challenge(): Challenge[] {
    const due: Challenge[] = [];
    for (;;) {
      const one = this.book.nextChallenge(PACKET, RETRY_MS, at(this.now));
      if (one === undefined) break;
      this.book.sent(one.to, PACKET);
      due.push(one);
    }
    this.sent.push(...due);
    return due;
  }

  /** Sends challenges as they become due, for so long. */
  wait(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.challenge();
      const next = this.book.nextAt;
      if (next === undefined || next > end) break;
      expect(next).toBeGreaterThan(this.now);
      this.now = next;
    }
    this.now = end;
  }

  answer(data: Uint8Array): AddressOutcome {
    return this.book.responded(data, at(this.now));
  }

  challengesTo(address: string): Uint8Array[] {
    return this.sent.filter((one) => one.to === address).map((one) => one.data);
  }

  lastTo(address: string): Uint8Array {
    return this.challengesTo(address).at(-1) ?? new Uint8Array(0);
  }
}

describe('a validated address', () => {
  it('is asked for nothing, and limits nothing', () => {
    const { book } = new Scene();
    expect(book.nextAt).toBeUndefined();
    expect(book.nextChallenge(PACKET, RETRY_MS, at(1e9))).toBeUndefined();
    expect(book.budgetBytes).toBe(Number.POSITIVE_INFINITY);
    expect(book.isValidated).toBe(true);
  });
});

describe('R-ADDRESS-1 an address that is not validated', () => {
  it('gets at most three times what came from it', () => {
    const { book } = new Scene({ validated: false });
    expect(book.budgetBytes).toBe(0);
    book.received(HOME, 100, true, at(0));
    expect(book.budgetBytes).toBe(SPEC_AMPLIFICATION_FACTOR * 100);
    book.sent(HOME, 250);
    expect([book.budgetBytes, book.budgetBytesOf(HOME)]).toEqual([50, 50]);
    expect(book.budgetBytesOf(AWAY)).toBe(0);
  });

  it('is challenged at once, when the budget allows, and again until it answers', () => {
    const scene = new Scene({ validated: false });
    scene.receive(HOME);
    expect(scene.challenge()).toHaveLength(1);
    scene.now = RETRY_MS - 1;
    expect(scene.challenge()).toHaveLength(0);
    scene.now = RETRY_MS;
    expect(scene.challenge()).toHaveLength(1);
    const [first = new Uint8Array(0)] = scene.challengesTo(HOME);
    expect(scene.answer(first)).toEqual({ type: 'validated' });
    expect(scene.book.budgetBytes).toBe(Number.POSITIVE_INFINITY);
    expect(scene.book.nextAt).toBeUndefined();
    expect(scene.answer(scene.lastTo(HOME))).toEqual({ type: 'none' });
  });

  it('gets no challenge that exceeds its budget', () => {
    const scene = new Scene({ validated: false });
    scene.receive(HOME, Math.floor(PACKET / SPEC_AMPLIFICATION_FACTOR) - 1);
    scene.wait(10_000);
    expect(scene.sent).toEqual([]);
  });

  it('gets three challenges, and one more each time that it speaks', () => {
    const scene = new Scene({ validated: false });
    scene.receive(HOME, 10_000);
    scene.wait(10_000);
    expect(scene.sent).toHaveLength(MAX_CHALLENGES);
    expect(scene.book.nextAt).toBeUndefined();
    scene.receive(HOME);
    scene.wait(10_000);
    expect(scene.sent).toHaveLength(MAX_CHALLENGES + 1);
    expect(scene.answer(scene.lastTo(HOME))).toEqual({ type: 'validated' });
  });
});

describe('R-ADDRESS-2 who becomes a candidate', () => {
  it('an address from which the newest packet came; the present one is asked too', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(1);
    expect(scene.book.current).toBe(HOME);
    expect(scene.challenge().map((one) => one.to)).toEqual([AWAY, HOME]);
  });

  it('not one from which an older packet came', () => {
    const scene = new Scene();
    scene.receive(AWAY, 1_200, false);
    expect(scene.book.candidateCount).toBe(0);
    expect(scene.challenge()).toEqual([]);
  });

  it('none at the client, which alone roams', () => {
    const scene = new Scene({ canMove: false });
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(0);
    expect(scene.challenge()).toEqual([]);
  });

  it('R-ADDRESS-3 no more than four at a time', () => {
    const scene = new Scene();
    for (let i = 0; i < 100; i++) scene.receive(`10.1.0.${i}:1`);
    expect(scene.book.candidateCount).toBe(MAX_CANDIDATES);
    scene.wait(60_000);
    expect(new Set(scene.sent.map((one) => one.to)).size).toBe(MAX_CANDIDATES + 1);
    expect(scene.book.candidateCount).toBe(0);
    expect(scene.sent.length).toBeLessThan((MAX_CANDIDATES + 1) * 8);
  });

  it('older packets from a candidate raise its budget', () => {
    const scene = new Scene();
    scene.receive(AWAY, 50);
    scene.receive(AWAY, 30, false);
    expect(scene.book.budgetBytesOf(AWAY)).toBe(SPEC_AMPLIFICATION_FACTOR * 80);
  });
});

describe('a candidate', () => {
  it('gets at most three times what came from it, challenges included', () => {
    const scene = new Scene();
    scene.receive(AWAY, 60);
    scene.wait(60_000);
    expect(scene.challengesTo(AWAY)).toHaveLength(2);
    expect(scene.book.candidateCount).toBe(0);
  });

  it('becomes the current address when it answers, whichever of its challenges', () => {
    const scene = new Scene();
    scene.now = 500;
    scene.receive(AWAY);
    scene.receive('10.0.0.3:3');
    scene.wait(150);
    const [first = new Uint8Array(0)] = scene.challengesTo(AWAY);
    expect(scene.answer(first)).toEqual({
      type: 'moved',
      address: AWAY,
      portOnly: false,
      rttMs: 150,
    });
    expect([scene.book.current, scene.book.isValidated]).toEqual([AWAY, true]);
    expect(scene.book.candidateCount).toBe(0);
    expect(scene.book.nextAt).toBeUndefined();
    expect(scene.book.budgetBytes).toBe(Number.POSITIVE_INFINITY);
    // The old address is a stranger now.
    expect(scene.book.budgetBytesOf(HOME)).toBe(0);
    expect(scene.answer(scene.lastTo(HOME))).toEqual({ type: 'none' });
  });

  it('tells whether only its port is another', () => {
    const scene = new Scene();
    scene.receive('10.0.0.1:77');
    scene.challenge();
    expect(scene.answer(scene.lastTo('10.0.0.1:77'))).toMatchObject({ portOnly: true });
  });

  it('is not moved to for an answer to another challenge, or to none', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    expect(scene.answer(scene.lastTo(HOME))).toEqual({ type: 'none' });
    for (const wrong of [new Uint8Array(8), new Uint8Array(0), scene.lastTo(AWAY).slice(0, 7)]) {
      expect(scene.answer(wrong)).toEqual({ type: 'none' });
    }
    expect(scene.book.current).toBe(HOME);
  });

  it('gets challenges at intervals that double', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    const times: number[] = [];
    for (let ms = 0; ms <= 7 * RETRY_MS; ms += 10) {
      scene.now = ms;
      if (scene.challenge().some((one) => one.to === AWAY)) times.push(ms);
    }
    expect(times).toEqual([0, RETRY_MS, 3 * RETRY_MS, 7 * RETRY_MS]);
  });

  it('R-ADDRESS-4 is not given up before 999 ms, though three challenges were sent', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    scene.answer(scene.lastTo(HOME));
    scene.wait(3 * SPEC_INITIAL_RTT_MS - 1);
    expect(scene.challengesTo(AWAY)).toHaveLength(MAX_CHALLENGES);
    expect(scene.answer(scene.lastTo(AWAY))).toMatchObject({ type: 'moved' });
  });

  it('is asked on, and may come back at once, while the current address is silent too', () => {
    const scene = new Scene();
    scene.receive(AWAY, 10_000);
    scene.wait(60_000);
    expect(scene.challengesTo(AWAY).length).toBeGreaterThan(MAX_CHALLENGES);
    expect(scene.challengesTo(AWAY).length).toBeLessThan(8);
    expect(scene.book.candidateCount).toBe(0);
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(1);
  });

  it('is given up after three challenges, and not tried again for ten seconds', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    scene.answer(scene.lastTo(HOME));
    scene.wait(3 * SPEC_INITIAL_RTT_MS);
    const last = scene.lastTo(AWAY);
    expect(scene.challengesTo(AWAY)).toHaveLength(MAX_CHALLENGES);
    expect(scene.book.candidateCount).toBe(0);
    expect(scene.answer(last)).toEqual({ type: 'none' });
    scene.now += REFUSED_FOR_MS - 1;
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(0);
    scene.now += 1;
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(1);
  });

  it('keeps its place no longer if the budget allows no challenge at all', () => {
    const scene = new Scene();
    scene.receive(AWAY, 1);
    scene.wait(5 * SPEC_INITIAL_RTT_MS);
    expect(scene.challengesTo(AWAY)).toEqual([]);
    expect(scene.book.candidateCount).toBe(0);
  });

  it('R-CHALLENGE-1 gets fresh random bytes in each challenge', () => {
    const scene = new Scene();
    for (let i = 0; i < MAX_CANDIDATES; i++) scene.receive(`10.1.0.${i}:1`);
    scene.wait(60_000);
    const all = scene.sent.map((one) => one.data.join());
    expect(all.length).toBeGreaterThan(MAX_CANDIDATES * 2);
    expect(new Set(all).size).toBe(all.length);
    expect(scene.sent.every((one) => one.data.length === 8)).toBe(true);
  });
});

describe('where the client most likely is', () => {
  it('is the newest candidate, until the current address is heard', () => {
    const scene = new Scene();
    expect(scene.book.likelyNext).toBeUndefined();
    scene.receive(AWAY);
    expect(scene.book.likelyNext).toBe(AWAY);
    scene.receive('10.0.0.3:3');
    expect(scene.book.likelyNext).toBe('10.0.0.3:3');
    scene.receive(HOME);
    expect(scene.book.likelyNext).toBeUndefined();
  });

  it('is still the candidate when an older packet comes late from the current address', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.receive(HOME, 1_200, false);
    expect(scene.book.likelyNext).toBe(AWAY);
  });

  it('is not known once what came from the candidate comes from the current address, too', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.book.repeated(AWAY);
    expect(scene.book.likelyNext).toBe(AWAY);
    scene.book.repeated(HOME);
    expect(scene.book.likelyNext).toBeUndefined();
  });

  it('is not known once the current address has answered', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    scene.answer(scene.lastTo(HOME));
    expect(scene.book.likelyNext).toBeUndefined();
  });

  it('is no address that was left before and is only asked', () => {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    scene.answer(scene.lastTo(AWAY));
    scene.book.wentSilent(at(scene.now));
    expect(scene.book.candidateCount).toBe(1);
    expect(scene.book.likelyNext).toBeUndefined();
  });
});

describe('the address before the last move', () => {
  function moved(): Scene {
    const scene = new Scene();
    scene.receive(AWAY);
    scene.challenge();
    scene.answer(scene.lastTo(AWAY));
    scene.sent.length = 0;
    return scene;
  }

  it('is asked when the path goes silent, with few bytes and at growing intervals', () => {
    const scene = moved();
    scene.book.wentSilent(at(scene.now));
    scene.book.wentSilent(at(scene.now));
    expect(scene.book.candidateCount).toBe(1);
    scene.wait(300_000);
    const count = scene.challengesTo(HOME).length;
    expect(count).toBeGreaterThan(3);
    expect(count).toBeLessThanOrEqual(MAX_PREVIOUS_CHALLENGES);
    expect(scene.book.candidateCount).toBe(0);
  });

  it('gets the path back when it answers', () => {
    const scene = moved();
    scene.book.wentSilent(at(scene.now));
    scene.wait(1_000);
    expect(scene.answer(scene.lastTo(HOME))).toMatchObject({
      type: 'moved',
      address: HOME,
    });
    expect(scene.book.current).toBe(HOME);
  });

  it('is left alone when the present address speaks again', () => {
    const scene = moved();
    scene.book.wentSilent(at(scene.now));
    scene.receive(AWAY);
    expect(scene.book.candidateCount).toBe(0);
  });

  it('is a candidate like any other when it speaks again', () => {
    const scene = moved();
    scene.book.wentSilent(at(scene.now));
    scene.receive(HOME);
    scene.challenge();
    scene.answer(scene.lastTo(AWAY));
    scene.wait(60_000);
    expect(scene.challengesTo(HOME)).toHaveLength(MAX_CHALLENGES);
  });

  it('is not there before any move', () => {
    const scene = new Scene();
    scene.book.wentSilent(at(0));
    expect(scene.book.candidateCount).toBe(0);
  });
});

describe('hostOf', () => {
  it.each([
    ['10.0.0.1:80', '10.0.0.1'],
    ['[2001:db8::1]:443', '[2001:db8::1]'],
    ['localhost:1', 'localhost'],
  ])('tells the host of %s', (address, host) => {
    expect(hostOf(address)).toBe(host);
  });
});
