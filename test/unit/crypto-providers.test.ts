import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../src/crypto/bytes.js';
import { expandLabel, hkdfExpand, hkdfExtract } from '../../src/crypto/hkdf.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import type { CipherName, CryptoProvider } from '../../src/crypto/provider.js';
import { MAX_DATAGRAM_BYTES_LOOPBACK } from '../../src/node/carriers/udp.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { bestCrypto, NATIVE_CRYPTO_VARIABLE, nativeCrypto } from '../../src/node/native-crypto.js';
import { simulatedCrypto } from '../../src/sim/crypto.js';

const CIPHERS: readonly CipherName[] = ['AES-256-GCM', 'ChaCha20-Poly1305'];
const ascii = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

interface AeadVector {
  readonly name: string;
  readonly cipher: CipherName;
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly plaintext: string;
  readonly sealed: string;
}

const AEAD_VECTORS: readonly AeadVector[] = [
  {
    name: 'RFC 8439 §2.8.2',
    cipher: 'ChaCha20-Poly1305',
    key: '808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f',
    nonce: '070000004041424344454647',
    aad: '50515253c0c1c2c3c4c5c6c7',
    plaintext: toHex(
      ascii(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the " +
          'future, sunscreen would be it.',
      ),
    ),
    sealed:
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6' +
      '3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36' +
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
      '3ff4def08e4b7a9de576d26586cec64b6116' +
      '1ae10b594f09e26a7e902ecbd0600691',
  },
  {
    name: 'NIST GCM, test case 13',
    cipher: 'AES-256-GCM',
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    aad: '',
    plaintext: '',
    sealed: '530f8afbc74536b9a963b4f1c4cb738b',
  },
  {
    name: 'NIST GCM, test case 16',
    cipher: 'AES-256-GCM',
    key: 'feffe9928665731c6d6a8f9467308308'.repeat(2),
    nonce: 'cafebabefacedbaddecaf888',
    aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plaintext:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  },
];

/** RFC 7748 §5.2 (two scalar multiplications) and §6.1 (both sides of the exchange). */
const X25519_VECTORS: readonly (readonly [string, string, string])[] = [
  [
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  ],
  [
    '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
    '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
  ],
  [
    '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
    'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
    '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
  ],
  [
    '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
    '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
    '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
  ],
];

/** There is one wherever koffi is installed and Node brings OpenSSL. */
const native = [nativeCrypto()].filter((one) => one !== undefined);

/** Points whose order divides 8, in every encoding, the last with the ignored top bit set. */
const LOW_ORDER = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
  `01${'00'.repeat(30)}80`,
];

describe.each([nodeCrypto, portableCrypto, ...native])('known answers of $name', (crypto) => {
  it.each(AEAD_VECTORS)('$cipher: $name', (vector) => {
    const aead = crypto.aead(vector.cipher, fromHex(vector.key));
    const nonce = fromHex(vector.nonce);
    const aad = fromHex(vector.aad);
    const sealed = concatBytes(...aead.seal(nonce, aad, [fromHex(vector.plaintext)]));
    expect(toHex(sealed)).toBe(vector.sealed);
    expect(aead.open(nonce, aad, sealed)).toEqual(fromHex(vector.plaintext));
  });

  it.each(X25519_VECTORS)('X25519 of %s', (privateKey, publicKey, shared) => {
    expect(crypto.x25519(fromHex(privateKey), fromHex(publicKey))).toEqual(fromHex(shared));
  });

  it('X25519 public keys: RFC 7748 §6.1', () => {
    const [, , alice, bob] = X25519_VECTORS;
    expect(toHex(crypto.x25519PublicKey(fromHex(alice?.[0] ?? '')))).toBe(bob?.[1]);
    expect(toHex(crypto.x25519PublicKey(fromHex(bob?.[0] ?? '')))).toBe(alice?.[1]);
  });

  it.each(LOW_ORDER)('refuses the point of low order %s', (point) => {
    expect(crypto.x25519(new Uint8Array(32).fill(7), fromHex(point))).toBeUndefined();
  });

  it('SHA-256 and HMAC: FIPS 180-4 "abc", RFC 4231 test case 2', () => {
    expect(toHex(crypto.hash(ascii('abc')))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(toHex(crypto.hmac(ascii('Jefe'), ascii('what do ya want for nothing?')))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });

  it('HKDF: RFC 5869 A.1', () => {
    const salt = Uint8Array.from({ length: 13 }, (_, i) => i);
    const prk = hkdfExtract(crypto, salt, new Uint8Array(22).fill(0x0b));
    expect(toHex(prk)).toBe('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
    const info = Uint8Array.from({ length: 10 }, (_, i) => 0xf0 + i);
    expect(toHex(hkdfExpand(crypto, prk, info, 42))).toBe(
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    );
  });

  it('Expand keeps label and context apart', () => {
    const secret = new Uint8Array(32);
    const one = expandLabel(crypto, secret, 'path c2s', ascii('x'), 32);
    expect(expandLabel(crypto, secret, 'path c2', ascii('sx'), 32)).not.toEqual(one);
    expect(expandLabel(crypto, secret, 'path c2sx', new Uint8Array(0), 32)).not.toEqual(one);
    const info = concatBytes(ascii('roving/1 path c2s'), Uint8Array.of(0), ascii('x'));
    expect(hkdfExpand(crypto, secret, info, 32)).toEqual(one);
  });

  it.each([0, -1, 1.5, 255 * 32 + 1, Number.NaN])('does not expand to %d bytes', (length) => {
    expect(() => expandLabel(crypto, new Uint8Array(32), 'x', new Uint8Array(0), length)).toThrow(
      RangeError,
    );
  });
});

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const chunks = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.integer({ min: 2000, max: 6000 }).map((n) => Uint8Array.from({ length: n }, (_, i) => i)),
  ),
  { maxLength: 5 },
);

describe.each([nodeCrypto, portableCrypto, simulatedCrypto, ...native])(
  'provider $name',
  (crypto) => {
    describe.each(CIPHERS)('%s', (cipher) => {
      it('opens what it sealed, in chunks of any sizes', () => {
        fc.assert(
          fc.property(
            bytesOf(32),
            bytesOf(12),
            fc.uint8Array(),
            chunks,
            (key, nonce, aad, parts) => {
              const aead = crypto.aead(cipher, key);
              const sealed = concatBytes(...aead.seal(nonce, aad, parts));
              const plaintext = concatBytes(...parts);
              expect(sealed.length).toBe(plaintext.length + 16);
              expect(aead.open(nonce, aad, sealed)).toEqual(plaintext);
              expect(concatBytes(...aead.seal(nonce, aad, [plaintext]))).toEqual(sealed);
            },
          ),
          { numRuns: 40 },
        );
      });

      it('puts what it is given in front, and seals the same as without', () => {
        const aead = crypto.aead(cipher, new Uint8Array(32).fill(3));
        const nonce = new Uint8Array(12);
        const aad = new Uint8Array(200).fill(5);
        for (const length of [0, 5, 1_200, 40_000]) {
          for (const aadBytes of [0, 5, 45, 200]) {
            const parts = [new Uint8Array(7).fill(6), new Uint8Array(length).fill(8)];
            const own = aad.subarray(0, aadBytes);
            const sealed = concatBytes(...aead.seal(nonce, own, parts));
            const whole = concatBytes(...aead.seal(nonce, own, parts, Uint8Array.of(1, 2, 3)));
            expect(whole).toEqual(concatBytes(Uint8Array.of(1, 2, 3), sealed));
          }
        }
      });

      it('seals and opens at any alignment of its input', () => {
        const aead = crypto.aead(cipher, new Uint8Array(32).fill(3));
        const nonce = new Uint8Array(12);
        for (let shift = 0; shift < 8; shift++) {
          const aad = new Uint8Array(40).subarray(shift, shift + 13).fill(5);
          const plaintext = new Uint8Array(120).subarray(shift, shift + 101).fill(6);
          const sealed = concatBytes(new Uint8Array(shift), ...aead.seal(nonce, aad, [plaintext]));
          const opened = aead.open(nonce, aad, sealed.subarray(shift));
          expect(opened).toEqual(new Uint8Array(101).fill(6));
        }
      });

      it('returns fresh memory, of which a slice is a copy', () => {
        const aead = crypto.aead(cipher, new Uint8Array(32));
        const nonce = new Uint8Array(12);
        const aad = new Uint8Array(0);
        const plaintext = new Uint8Array(20);
        const first = aead.seal(nonce, aad, [plaintext.subarray(0, 7), plaintext.subarray(7)]);
        const before = concatBytes(...first);
        aead.seal(nonce, aad, [plaintext.fill(1).subarray(0, 7), plaintext.subarray(7)]);
        expect(concatBytes(...first)).toEqual(before);
        const sealed = before.slice();
        const opened = aead.open(nonce, aad, sealed) ?? new Uint8Array(0);
        sealed.fill(0xff);
        opened.slice().fill(0xee);
        expect(opened).toEqual(new Uint8Array(20));
      });

      it('T8 refuses each flipped bit of sealed text, associated data, nonce and key', () => {
        const key = Uint8Array.from({ length: 32 }, (_, i) => i);
        const nonce = new Uint8Array(12).fill(9);
        const aad = new Uint8Array(13).fill(8);
        const aead = crypto.aead(cipher, key);
        const sealed = concatBytes(...aead.seal(nonce, aad, [new Uint8Array(37).fill(7)]));
        const check = (target: Uint8Array, open: () => Uint8Array | undefined) => {
          for (let bit = 0; bit < 8 * target.length; bit++) {
            flip(target, bit);
            expect(open()).toBeUndefined();
            flip(target, bit);
          }
        };
        check(sealed, () => aead.open(nonce, aad, sealed));
        check(aad, () => aead.open(nonce, aad, sealed));
        check(nonce, () => aead.open(nonce, aad, sealed));
        check(key, () => crypto.aead(cipher, key).open(nonce, aad, sealed));
        expect(aead.open(nonce, aad, sealed)).toEqual(new Uint8Array(37).fill(7));
      });

      it('refuses what is too short, cut or extended', () => {
        const aead = crypto.aead(cipher, new Uint8Array(32));
        const nonce = new Uint8Array(12);
        const aad = new Uint8Array(5);
        const sealed = concatBytes(...aead.seal(nonce, aad, [new Uint8Array(33)]));
        for (let length = 0; length < sealed.length; length++) {
          expect(aead.open(nonce, aad, sealed.subarray(0, length))).toBeUndefined();
        }
        expect(aead.open(nonce, aad, concatBytes(sealed, Uint8Array.of(0)))).toBeUndefined();
        expect(aead.open(nonce, new Uint8Array(4), sealed)).toBeUndefined();
        expect(aead.open(nonce, new Uint8Array(6), sealed)).toBeUndefined();
      });

      it.each([0, 31, 33])('takes no key of %d bytes', (length) => {
        expect(() => crypto.aead(cipher, new Uint8Array(length))).toThrow(RangeError);
      });
    });

    it('tells the two ciphers apart', () => {
      const nonce = new Uint8Array(12);
      const [one, other] = CIPHERS.map((cipher) => crypto.aead(cipher, new Uint8Array(32)));
      const sealed = concatBytes(...(one?.seal(nonce, nonce, [nonce]) ?? []));
      expect(other?.open(nonce, nonce, sealed)).toBeUndefined();
    });

    it.each([0, 31, 33])('takes no X25519 key of %d bytes', (length) => {
      const key = new Uint8Array(32).fill(1);
      expect(() => crypto.x25519PublicKey(new Uint8Array(length))).toThrow(RangeError);
      expect(() => crypto.x25519(new Uint8Array(length), key)).toThrow(RangeError);
      expect(() => crypto.x25519(key, new Uint8Array(length))).toThrow(RangeError);
    });
  },
);

describe('node and portable', () => {
  const pairs: readonly (readonly [CryptoProvider, CryptoProvider])[] = [
    [nodeCrypto, portableCrypto],
    [portableCrypto, nodeCrypto],
    ...native.map((one) => [one, nodeCrypto] as const),
    ...native.map((one) => [portableCrypto, one] as const),
  ];

  it.each(CIPHERS)('open what the other sealed with %s', (cipher) => {
    fc.assert(
      fc.property(bytesOf(32), bytesOf(12), fc.uint8Array(), chunks, (key, nonce, aad, parts) => {
        for (const [sealer, opener] of pairs) {
          const sealed = concatBytes(...sealer.aead(cipher, key).seal(nonce, aad, parts));
          const opened = opener.aead(cipher, key).open(nonce, aad, sealed);
          expect(opened).toEqual(concatBytes(...parts));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('agree on hashes, MACs and X25519', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytesOf(32), bytesOf(32), (data, a, b) => {
        expect(nodeCrypto.hash(data)).toEqual(portableCrypto.hash(data));
        expect(nodeCrypto.hmac(data, a)).toEqual(portableCrypto.hmac(data, a));
        expect(nodeCrypto.hmac(a, data)).toEqual(portableCrypto.hmac(a, data));
        expect(nodeCrypto.x25519PublicKey(a)).toEqual(portableCrypto.x25519PublicKey(a));
        // Any 32 bytes are a public key, also those beyond the prime and with the top bit set.
        expect(nodeCrypto.x25519(a, b)).toEqual(portableCrypto.x25519(a, b));
      }),
      { numRuns: 40 },
    );
  });
});

describe('the checksum of simulated crypto', () => {
  it('refuses random damage to several words at once', () => {
    const aead = simulatedCrypto.aead('AES-256-GCM', new Uint8Array(32).fill(1));
    const nonce = new Uint8Array(12);
    const sealed = concatBytes(...aead.seal(nonce, nonce, [new Uint8Array(200)]));
    const flips = fc.uniqueArray(fc.nat(8 * sealed.length - 1), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(flips, (bits) => {
        const damaged = sealed.slice();
        for (const bit of bits) flip(damaged, bit);
        expect(aead.open(nonce, nonce, damaged)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses every pair of flipped bits in two blocks', () => {
    const aead = simulatedCrypto.aead('ChaCha20-Poly1305', new Uint8Array(32).fill(1));
    const nonce = new Uint8Array(12);
    const sealed = concatBytes(...aead.seal(nonce, nonce, [new Uint8Array(32)]));
    let accepted = 0;
    for (let i = 0; i < 256; i++) {
      for (let j = 0; j < i; j++) {
        flip(sealed, i);
        flip(sealed, j);
        if (aead.open(nonce, nonce, sealed) !== undefined) accepted++;
        flip(sealed, i);
        flip(sealed, j);
      }
    }
    expect(accepted).toBe(0);
  });

  it('moves about half the bits of the tag for any changed byte', () => {
    const aead = simulatedCrypto.aead('AES-256-GCM', new Uint8Array(32));
    const nonce = new Uint8Array(12);
    const tagOf = (text: Uint8Array) => concatBytes(...aead.seal(nonce, nonce, [text])).slice(-16);
    const text = new Uint8Array(100);
    const before = tagOf(text);
    for (let i = 0; i < text.length; i++) {
      text[i] = 1;
      const after = tagOf(text);
      text[i] = 0;
      let changed = 0;
      for (let bit = 0; bit < 128; bit++)
        changed += bitAt(before, bit) === bitAt(after, bit) ? 0 : 1;
      expect(changed).toBeGreaterThan(32);
      expect(changed).toBeLessThan(96);
    }
  });
});

function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >>> 3] = (bytes[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
}

function bitAt(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1;
}

describe('native sealing', () => {
  const cipher = 'AES-256-GCM';
  const [one, other] = [1, 2].map((byte) => new Uint8Array(32).fill(byte));
  const nonce = new Uint8Array(12);
  const long = new Uint8Array(60_000).fill(5);

  it.runIf(native.length > 0)('keeps keys apart that take turns', () => {
    for (const crypto of native) {
      const aeads = [one, other].map((key) => crypto.aead(cipher, key ?? nonce));
      const expected = [one, other].map((key) =>
        concatBytes(...nodeCrypto.aead(cipher, key ?? nonce).seal(nonce, nonce, [long])),
      );
      for (let turn = 0; turn < 6; turn++) {
        const sealed = aeads[turn % 2]?.seal(nonce, nonce, [long]) ?? [];
        expect(concatBytes(...sealed)).toEqual(expected[turn % 2]);
      }
    }
  });

  it.runIf(native.length > 0)(
    'uses memory again only when it was given back, and only once',
    () => {
      for (const crypto of native) {
        const aead = crypto.aead(cipher, one ?? nonce);
        const first = aead.seal(nonce, nonce, [long]);
        const held = aead.seal(nonce, nonce, [long]);
        expect(held[0]?.buffer).not.toBe(first[0]?.buffer);
        crypto.recycle?.(first);
        crypto.recycle?.(first);
        crypto.recycle?.([new Uint8Array(held[0]?.buffer.byteLength ?? 0)]);
        const buffers = [1, 2, 3].map(() => aead.seal(nonce, nonce, [long])[0]?.buffer);
        expect(buffers).toContain(first[0]?.buffer);
        expect(buffers).not.toContain(held[0]?.buffer);
        expect(new Set(buffers).size).toBe(3);
      }
    },
  );

  it.runIf(native.length > 0)('takes no slab for a datagram, which never comes back', () => {
    for (const crypto of native) {
      const [front, text] = [
        new Uint8Array(13),
        long.subarray(0, MAX_DATAGRAM_BYTES_LOOPBACK - 29),
      ];
      const [datagram] = crypto.aead(cipher, one ?? nonce).seal(nonce, nonce, [text], front);
      expect(datagram?.length).toBe(MAX_DATAGRAM_BYTES_LOOPBACK);
      expect(datagram?.buffer.byteLength).toBe(MAX_DATAGRAM_BYTES_LOOPBACK);
    }
  });

  it('can be turned off by the environment', () => {
    const before = process.env[NATIVE_CRYPTO_VARIABLE];
    try {
      process.env[NATIVE_CRYPTO_VARIABLE] = 'off';
      expect(nativeCrypto()).toBeUndefined();
      expect(bestCrypto()).toBe(nodeCrypto);
    } finally {
      if (before === undefined) delete process.env[NATIVE_CRYPTO_VARIABLE];
      else process.env[NATIVE_CRYPTO_VARIABLE] = before;
    }
  });
});
