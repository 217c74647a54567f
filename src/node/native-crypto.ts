/**
 * Sealing through the OpenSSL that Node itself carries, called by way of `koffi`. One call into
 * `node:crypto` makes an object for each packet; here a context is made once, so that a packet of
 * 1200 bytes costs a fifth, and large ones are written into memory that is used again.
 *
 * It is optional in every way: without `koffi`, without the symbols (a Node that is built on another
 * library), after a wrong answer to the check at start-up, or with `ROVING_NATIVE_CRYPTO=0` in the
 * environment, {@link nativeCrypto} answers `undefined` and {@link nodeCrypto} does the work
 * (docs/decisions/0017-native-sealing.md).
 *
 * @module
 */

import { createRequire } from 'node:module';
import { requireLength } from '../crypto/bytes.js';
import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  type Aead,
  type CipherName,
  type CryptoProvider,
} from '../crypto/provider.js';
import { nodeCrypto } from './crypto.js';
import { isSwitchedOff } from './switches.js';
import { tookFreshMemory } from './young-memory.js';

/** `0`, `off`, `no` or `false` in this variable: {@link nativeCrypto} answers `undefined`. */
export const NATIVE_CRYPTO_VARIABLE = 'ROVING_NATIVE_CRYPTO';

/** Packets of at least this length are put into slabs that come back. Datagrams are shorter: they don't. */
const SLAB_FROM_BYTES = 16 * 1024 + 1;
/** Holds the longest packet and its tag. */
const SLAB_BYTES = 66 * 1024;
/** Slabs that wait for their next packet: 4 MiB. */
const MAX_FREE_SLABS = 64;

/** EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG of OpenSSL's evp.h. */
const GET_TAG = 0x10;
const SET_TAG = 0x11;

type Pointer = unknown;
type Call = (...args: unknown[]) => number;

/** What of OpenSSL is used. All answer 1 if they succeed. */
interface Evp {
  newContext(): Pointer;
  ciphers: Readonly<Record<CipherName, Pointer>>;
  control: Call;
  sealInit: Call;
  sealUpdate: Call;
  sealFinal: Call;
  openInit: Call;
  openUpdate: Call;
  openFinal: Call;
}

const VOID: Uint8Array = new Uint8Array(AEAD_TAG_BYTES);
const NOTHING: Uint8Array = new Uint8Array(0);
/** Longer than any header. */
const scratch = Buffer.allocUnsafeSlow(128);
/** Where OpenSSL says how much it has written; it is known beforehand. */
const written = new Int32Array(1);

/** Slabs that nobody uses, and those that are out; whoever forgets one leaves it to the collector. */
const freeSlabs: ArrayBuffer[] = [];
const slabsOut = new WeakSet<ArrayBufferLike>();

/**
 * A context of OpenSSL for one cipher and direction, shared by all keys. It knows whose key it
 * holds: setting another costs less than a microsecond, and nothing has to be freed.
 */
class Context {
  readonly #init: Call;
  readonly #pointer: Pointer;
  #keyOf: Aead | undefined;

  constructor(evp: Evp, cipher: CipherName, init: Call) {
    this.#init = init;
    this.#pointer = evp.newContext();
    const done = init(this.#pointer, evp.ciphers[cipher], null, null, null);
    if (this.#pointer === null || done !== 1) throw new Error('OpenSSL refuses the cipher');
  }

  /** Ready for one packet. */
  begin(aead: Aead, key: Uint8Array, nonce: Uint8Array): Pointer {
    const isKnown = this.#keyOf === aead;
    this.#keyOf = undefined;
    check(this.#init(this.#pointer, null, null, isKnown ? null : key, nonce));
    this.#keyOf = aead;
    return this.#pointer;
  }
}

interface Contexts {
  readonly seal: Context;
  readonly open: Context;
}

class NativeAead implements Aead {
  readonly #evp: Evp;
  readonly #contexts: Contexts;
  readonly #key: Uint8Array;

  constructor(evp: Evp, contexts: Contexts, key: Uint8Array) {
    requireLength(key, AEAD_KEY_BYTES, 'an AEAD key');
    this.#evp = evp;
    this.#contexts = contexts;
    this.#key = key.slice();
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: readonly Uint8Array[],
    front: Uint8Array = NOTHING,
  ): Uint8Array[] {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    const evp = this.#evp;
    let length = front.length + AEAD_TAG_BYTES;
    for (const chunk of plaintext) length += chunk.length;
    const sealed = memory(length);
    sealed.set(front);
    const context = this.#contexts.seal.begin(this, this.#key, nonce);
    if (aad.length > 0) check(evp.sealUpdate(context, null, written, outside(aad), aad.length));
    let at = front.length;
    for (const chunk of plaintext) {
      if (chunk.length === 0) continue;
      const out = at === 0 ? sealed : sealed.subarray(at);
      check(evp.sealUpdate(context, out, written, chunk, chunk.length));
      at += chunk.length;
    }
    check(evp.sealFinal(context, VOID, written));
    check(evp.control(context, GET_TAG, AEAD_TAG_BYTES, sealed.subarray(at)));
    return [sealed];
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    requireLength(nonce, AEAD_NONCE_BYTES, 'an AEAD nonce');
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return undefined;
    const evp = this.#evp;
    const plaintext = fresh(length);
    const context = this.#contexts.open.begin(this, this.#key, nonce);
    check(evp.control(context, SET_TAG, AEAD_TAG_BYTES, sealed.subarray(length)));
    if (aad.length > 0) check(evp.openUpdate(context, null, written, outside(aad), aad.length));
    if (length > 0) check(evp.openUpdate(context, plaintext, written, sealed, length));
    // Until here nothing has been checked: what is not authentic is never given out.
    return evp.openFinal(context, VOID, written) === 1 ? plaintext : undefined;
  }
}

/**
 * V8 keeps the bytes of a short array in its own heap, and moves them outside for good, at a cost of
 * a microsecond, once somebody wants their address.
 */
function outside(aad: Uint8Array): Uint8Array {
  if (aad.length > scratch.length) return aad;
  scratch.set(aad);
  return scratch;
}

function check(done: number): void {
  if (done !== 1) throw new Error('OpenSSL failed to seal or open a packet');
}

/** Memory that is not cleared: all of it is written before anybody reads it. */
function fresh(length: number): Uint8Array {
  tookFreshMemory(length);
  const buffer = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length);
}

function memory(length: number): Uint8Array {
  if (length < SLAB_FROM_BYTES || length > SLAB_BYTES) return fresh(length);
  const slab = freeSlabs.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES).buffer;
  slabsOut.add(slab);
  return new Uint8Array(slab as ArrayBuffer, 0, length);
}

/** Takes back the slabs among these chunks; each only once. */
function recycle(chunks: readonly Uint8Array[]): void {
  for (const chunk of chunks) {
    // To ask a short one for its buffer costs more than all the rest.
    if (chunk.length < SLAB_FROM_BYTES) continue;
    const { buffer } = chunk;
    if (buffer.byteLength !== SLAB_BYTES || !slabsOut.delete(buffer)) continue;
    if (freeSlabs.length < MAX_FREE_SLABS) freeSlabs.push(buffer as ArrayBuffer);
  }
}

function load(): Evp {
  const koffi = createRequire(import.meta.url)('koffi');
  // The process itself: another copy of the library would be at odds with the one that is in it.
  const process = koffi.load(null);
  const declare = (name: string, returns: string, ...args: string[]) =>
    process.func(name, returns, args);
  const init = ['void *', 'void *', 'void *', 'void *', 'void *'];
  const update = ['void *', 'void *', 'void *', 'void *', 'int'];
  const final = ['void *', 'void *', 'void *'];
  return {
    newContext: declare('EVP_CIPHER_CTX_new', 'void *'),
    ciphers: {
      'AES-256-GCM': declare('EVP_aes_256_gcm', 'void *')(),
      'ChaCha20-Poly1305': declare('EVP_chacha20_poly1305', 'void *')(),
    },
    control: declare('EVP_CIPHER_CTX_ctrl', 'int', 'void *', 'int', 'int', 'void *'),
    sealInit: declare('EVP_EncryptInit_ex', 'int', ...init),
    sealUpdate: declare('EVP_EncryptUpdate', 'int', ...update),
    sealFinal: declare('EVP_EncryptFinal_ex', 'int', ...final),
    openInit: declare('EVP_DecryptInit_ex', 'int', ...init),
    openUpdate: declare('EVP_DecryptUpdate', 'int', ...update),
    openFinal: declare('EVP_DecryptFinal_ex', 'int', ...final),
  };
}

function create(): CryptoProvider {
  const evp = load();
  const contextsOf = (cipher: CipherName): Contexts => ({
    seal: new Context(evp, cipher, evp.sealInit),
    open: new Context(evp, cipher, evp.openInit),
  });
  const contexts = {
    'AES-256-GCM': contextsOf('AES-256-GCM'),
    'ChaCha20-Poly1305': contextsOf('ChaCha20-Poly1305'),
  };
  const provider: CryptoProvider = {
    ...nodeCrypto,
    name: 'native',
    aead: (cipher, key) => new NativeAead(evp, contexts[cipher], key),
    recycle,
  };
  for (const cipher of ['AES-256-GCM', 'ChaCha20-Poly1305'] as const) {
    if (!answersAsNode(provider, cipher)) throw new Error(`${cipher}: a wrong answer`);
  }
  return provider;
}

/** The same bytes as `node:crypto` gives, from short to long; and nothing that is not authentic. */
function answersAsNode(provider: CryptoProvider, cipher: CipherName): boolean {
  const key = Uint8Array.from({ length: AEAD_KEY_BYTES }, (_, i) => 7 * i);
  const nonce = Uint8Array.from({ length: AEAD_NONCE_BYTES }, (_, i) => 3 + i);
  const aad = key.subarray(0, 5);
  const native = provider.aead(cipher, key);
  const reference = nodeCrypto.aead(cipher, key);
  for (const length of [0, 1, 1_200, SLAB_FROM_BYTES + 1]) {
    const plaintext = new Uint8Array(length).map((_, i) => i * i);
    const cut = length >>> 1;
    const sealed = native.seal(nonce, aad, [plaintext.subarray(0, cut), plaintext.subarray(cut)]);
    const expected = Buffer.concat(reference.seal(nonce, aad, [plaintext]));
    const joined = Buffer.concat(sealed);
    if (!joined.equals(expected)) return false;
    const opened = native.open(nonce, aad, joined);
    if (opened === undefined || Buffer.compare(opened, plaintext) !== 0) return false;
    joined[cut] = (joined[cut] ?? 0) ^ 1;
    if (native.open(nonce, aad, joined) !== undefined) return false;
  }
  return true;
}

let loaded: { readonly provider: CryptoProvider | undefined } | undefined;

/** The provider, loaded and checked at the first call; `undefined` where there is none. */
export function nativeCrypto(): CryptoProvider | undefined {
  if (isSwitchedOff(NATIVE_CRYPTO_VARIABLE)) return undefined;
  if (loaded === undefined) {
    let provider: CryptoProvider | undefined;
    try {
      provider = create();
    } catch {
      // Whatever is amiss: node:crypto can do the same.
    }
    loaded = { provider };
  }
  return loaded.provider;
}

/** {@link nativeCrypto} where there is one, {@link nodeCrypto} otherwise. */
export function bestCrypto(): CryptoProvider {
  return nativeCrypto() ?? nodeCrypto;
}
