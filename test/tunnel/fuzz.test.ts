/**
 * T52 for what programs say to the proxy, and for arguments and grants. Replay as the fuzzing of the
 * wire layer: `SEED=1 FUZZ_CASE=123 npx vitest run test/tunnel/fuzz.test.ts`.
 */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/node/index.js';
import { isHost, isPort } from '../../src/tunnel/address.js';
import {
  checkForwardGrant,
  parseBind,
  parseForwardSpec,
  parseHostPort,
} from '../../src/tunnel/index.js';
import { MAX_HTTP_HEAD_BYTES, parseHttpRequest } from '../../src/tunnel/proxy/http.js';
import { type Parser, ProxyError } from '../../src/tunnel/proxy/parsed.js';
import { parseSocks4Request } from '../../src/tunnel/proxy/socks4.js';
import {
  parseSocks5Greeting,
  parseSocks5Password,
  parseSocks5Request,
} from '../../src/tunnel/proxy/socks5.js';
import { toHex } from '../helpers/hex.js';
import { TestPrng } from '../helpers/prng.js';

const SEED = Number(process.env['SEED'] ?? 1);
const CASES = Number(process.env['FUZZ_CASES'] ?? 20_000);
const ONLY = process.env['FUZZ_CASE'];

/** No request of SOCKS needs more before it is complete or refused. */
const MAX_SOCKS_BYTES = 8 + 256 + 256;

interface Target {
  readonly parser: Parser<unknown>;
  readonly valid: (prng: TestPrng) => Uint8Array;
  /** At this length a parser asks for no more. */
  readonly maxBytes: number;
}

const text = (words: string): Uint8Array => Buffer.from(words, 'latin1');
const name = (prng: TestPrng): string => 'abc.example'.slice(0, 1 + prng.below(11));

const TARGETS: Readonly<Record<string, Target>> = {
  parseSocks4Request: {
    parser: parseSocks4Request,
    maxBytes: MAX_SOCKS_BYTES,
    valid: (prng) => {
      const ip = prng.chance(0.5) ? [0, 0, 0, 1] : prng.bytes(4);
      return Uint8Array.from([4, 1, ...prng.bytes(2), ...ip, 0x75, 0, ...text(name(prng)), 0]);
    },
  },
  parseSocks5Greeting: {
    parser: parseSocks5Greeting,
    maxBytes: MAX_SOCKS_BYTES,
    valid: (prng) => Uint8Array.from([5, 2, ...prng.bytes(2)]),
  },
  parseSocks5Password: {
    parser: parseSocks5Password,
    maxBytes: MAX_SOCKS_BYTES,
    valid: () => Uint8Array.from([1, 2, ...text('me'), 4, ...text('word')]),
  },
  parseSocks5Request: {
    parser: parseSocks5Request,
    maxBytes: MAX_SOCKS_BYTES,
    valid: (prng) => {
      const host = name(prng);
      const addresses = [
        [1, ...prng.bytes(4)],
        [4, ...prng.bytes(16)],
        [3, host.length, ...text(host)],
      ];
      return Uint8Array.from([5, 1, 0, ...prng.pick(addresses), ...prng.bytes(2)]);
    },
  },
  parseHttpRequest: {
    parser: parseHttpRequest,
    maxBytes: MAX_HTTP_HEAD_BYTES,
    valid: (prng) => {
      const lines = [
        `CONNECT ${name(prng)}:443 HTTP/1.1`,
        'CONNECT [::1]:443 HTTP/1.0',
        `GET http://${name(prng)}/x?y HTTP/1.1`,
        `POST http://${name(prng)}:8080 HTTP/1.1`,
      ];
      const fields = [
        'Host: x',
        'Connection: close, x-a',
        'X-A: b',
        'Proxy-Authorization: Basic eA==',
      ];
      return text(
        `${[prng.pick(lines), prng.pick(fields), prng.pick(fields)].join('\r\n')}\r\n\r\n`,
      );
    },
  },
};

function mutated(prng: TestPrng, valid: Uint8Array): Buffer {
  if (prng.chance(0.1)) return Buffer.from(prng.bytes(prng.below(600)));
  const bytes = [...valid];
  for (let i = prng.below(4); i > 0; i--) {
    const at = prng.below(bytes.length + 1);
    const inserted = prng.chance(0.3) ? [prng.pick([0, 10, 13, 32, 58, 255])] : [...prng.bytes(1)];
    bytes.splice(at, prng.below(3), ...(prng.chance(0.7) ? inserted : []));
  }
  if (prng.chance(0.02)) bytes.push(...new Uint8Array(20_000).fill(prng.below(256)));
  return Buffer.from(bytes);
}

/** What a parser makes of bytes, as text that can be compared. */
function outcome(parser: Parser<unknown>, bytes: Buffer): string {
  try {
    const parsed = parser(bytes);
    if (parsed === undefined) return 'more';
    if (parsed.length < 1 || parsed.length > bytes.length) throw new Error('a wrong length');
    return JSON.stringify(parsed);
  } catch (error) {
    if (error instanceof ProxyError) return `refused: ${error.message}`;
    throw error;
  }
}

function check({ parser, valid, maxBytes }: Target, prng: TestPrng): void {
  const bytes = mutated(prng, valid(prng));
  const whole = outcome(parser, bytes);
  if (whole === 'more' && bytes.length > maxBytes) throw new Error('asks for more and more');
  // Neither what follows, nor in what pieces it comes, makes a difference.
  if (whole !== 'more' && !whole.startsWith('refused')) {
    const { length, value } = JSON.parse(whole) as { length: number; value: unknown };
    const exact = outcome(parser, bytes.subarray(0, length));
    if (exact !== whole) throw new Error('depends on what follows');
    const cut = outcome(parser, bytes.subarray(0, prng.below(length)));
    if (cut !== 'more') throw new Error(`does not wait for the rest: ${cut}`);
    checkTarget(value);
  }
}

function checkTarget(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const { target = value } = value as { target?: unknown };
  const { host, port } = target as { host?: unknown; port?: unknown };
  if (host !== undefined && !(isHost(host) && isPort(port))) throw new Error('no host and port');
}

function replayable(i: number, action: (prng: TestPrng) => void): void {
  try {
    action(new TestPrng(Math.imul(SEED, 0x9e3779b1) ^ Math.imul(i, 0x85ebca6b)));
  } catch (error) {
    const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    expect.fail(`replay with SEED=${SEED} FUZZ_CASE=${i}\n${cause}`);
  }
}

function cases(count: number, action: (prng: TestPrng) => void): void {
  const from = ONLY === undefined ? 0 : Number(ONLY);
  const to = ONLY === undefined ? count : from + 1;
  for (let i = from; i < to; i++) replayable(i, action);
}

describe(`T52: the proxy survives whatever programs say, seed ${SEED}`, () => {
  it.each(Object.keys(TARGETS))(
    '%s',
    (which) => {
      const target = TARGETS[which];
      if (target !== undefined) cases(Math.ceil(CASES / 5), (prng) => check(target, prng));
    },
    1_800_000,
  );
});

describe(`T52: arguments and grants are read or refused with a reason, seed ${SEED}`, () => {
  const ALPHABET = [
    '8080',
    'host',
    ':',
    ':',
    '[',
    ']',
    '::1',
    '*',
    '.',
    '-',
    '/8',
    '10.0.0.0',
    ' ',
    '\0',
    '%',
  ];
  const readers = {
    parseForwardSpec,
    parseBind,
    parseHostPort,
    'forward:': (words: string) => checkForwardGrant(`forward:${words}`),
    'listen:': (words: string) => checkForwardGrant(`listen:${words}`),
  };

  it.each(Object.entries(readers))(
    '%s',
    (_name, reader) => {
      cases(Math.ceil(CASES / 10), (prng) => {
        const words = Array.from({ length: prng.below(9) }, () => prng.pick(ALPHABET)).join('');
        try {
          reader(words);
        } catch (error) {
          if (!(error instanceof UsageError)) throw new Error(`${toHex(text(words))}: ${error}`);
        }
      });
    },
    1_800_000,
  );
});
