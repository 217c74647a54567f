import { describe, expect, it } from 'vitest';
import { FIRST_BYTES, speechOf } from '../../src/node/first-bytes.js';
import { SPEC_MAX_UNATTACHED_RECORD_BYTES } from '../../src/wire/index.js';
import { TestPrng } from '../helpers/prng.js';

const CASES = Number(process.env['FUZZ_CASES'] ?? 20_000);
const SEED = Number(process.env['SEED'] ?? 1);

const bytes = (...list: number[]) => Uint8Array.from(list);
const text = (words: string) => new Uint8Array(Buffer.from(words));

describe('the first bytes of a connection', () => {
  it('of a record, whatever length a stranger may give it', () => {
    for (let length = 0; length <= SPEC_MAX_UNATTACHED_RECORD_BYTES; length++) {
      expect(speechOf(bytes(length >>> 8, length & 0xff))).toBe('roving');
    }
    expect(speechOf(bytes(6))).toBe('unknown');
  });

  it('of what browsers and web servers send', () => {
    expect(speechOf(text('GET / HTTP/1.1\r\n'))).toBe('http');
    expect(speechOf(text('OPTIONS * HTTP/1.1'))).toBe('http');
    expect(speechOf(bytes(0x16, 3, 1, 2, 0, 1, 0, 1))).toBe('tls');
    expect(speechOf(bytes(0x16, 3, 3, 0, 200, 1))).toBe('tls');
  });

  it.each([
    ['a method that nobody knows', text('BREW /pot')],
    ['small letters', text('get / HTTP/1.1')],
    ['the preface of HTTP/2', text('PRI * HTTP/2.0')],
    ['a method without a space', text('GET/ HTTP')],
    ['SSH', text('SSH-2.0-OpenSSH')],
    ['a TLS alert', bytes(0x15, 3, 3, 0, 2, 2, 40)],
    ['TLS from the middle', bytes(0x16, 3, 3, 0, 4, 2)],
    ['TLS of the future', bytes(0x16, 4)],
    ['SOCKS', bytes(5, 1, 0)],
    ['RDP', bytes(3, 0, 0, 19)],
    ['what is longer than a record', bytes(0xff, 0xff)],
  ])('of %s', (what, head) => {
    // SOCKS and RDP begin as records do; the core finds nothing in them.
    expect(speechOf(head)).toBe(['SOCKS', 'RDP'].includes(what) ? 'roving' : 'unknown');
  });

  it('one at a time give the same answer as all at once, and that after eight at most', () => {
    const prng = new TestPrng(SEED);
    const starts = ['GET / HTTP/1.1', 'POST ', 'OPTIONS ', 'OPTIONSX'].map(text);
    starts.push(bytes(0x16, 3, 1, 0, 50, 1, 0, 0, 46), bytes(0x16, 3, 3, 0, 9, 9), bytes(4, 0));
    for (let round = 0; round < CASES; round++) {
      const head = prng.chance(0.5) ? prng.bytes(1 + prng.below(20)) : prng.pick(starts).slice();
      if (prng.chance(0.3)) head[prng.below(head.length)] = prng.below(256);
      const answers = Array.from(head, (_byte, i) => speechOf(head.subarray(0, i + 1)));
      const first = answers.find((answer) => answer !== undefined);
      const message = `SEED=${SEED} case ${round}: ${Buffer.from(head).toString('hex')}`;
      for (const [i, answer] of answers.entries()) {
        // Once given, the answer stays, so it does not matter how the bytes are cut.
        if (answer !== undefined) expect(answer, message).toBe(first);
        else
          expect(
            answers.slice(0, i).every((one) => one === undefined),
            message,
          ).toBe(true);
      }
      if (head.length >= FIRST_BYTES) expect(first, message).toBeDefined();
    }
  });
});
