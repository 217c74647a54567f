// Cost of sealing, opening and key exchange, per provider: the numbers behind the gathering of small
// chunks in src/node/crypto.ts and the target of src/sim/crypto.ts. Prints a table.
//
//     npx tsc -b && node benchmarks/crypto.mjs

import { concatBytes, portableCrypto } from '../dist/crypto/index.js';
import { nodeCrypto } from '../dist/node/crypto.js';
import { simulatedCrypto } from '../dist/sim/crypto.js';

const RUN_MS = 200;
const RUNS = 3;

/** Microseconds per call: the best of a few runs, for what disturbs a run only makes it slower. */
function cost(call) {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < RUN_MS) {
      for (let i = 0; i < 10; i++) call();
      count += 10;
    }
    best = Math.min(best, ((performance.now() - start) / count) * 1000);
  }
  return Number(best.toFixed(2));
}

const nonce = new Uint8Array(12);
const aad = new Uint8Array(13);
const key = new Uint8Array(32).fill(7);
const LAYOUTS = [[40], [20, 1180], [240, 240, 240, 240, 240], [20, 65_400]];

const rows = [];
for (const crypto of [nodeCrypto, portableCrypto, simulatedCrypto]) {
  for (const cipher of ['AES-256-GCM', 'ChaCha20-Poly1305']) {
    const aead = crypto.aead(cipher, key);
    for (const layout of LAYOUTS) {
      const parts = layout.map((length) => new Uint8Array(length));
      const sealed = concatBytes(...aead.seal(nonce, aad, parts));
      rows.push({
        provider: crypto.name,
        operation: cipher,
        'bytes of chunks': layout.join(' + '),
        'seal, us': cost(() => aead.seal(nonce, aad, parts)),
        'open, us': cost(() => aead.open(nonce, aad, sealed)),
      });
    }
  }
}
for (const crypto of [nodeCrypto, portableCrypto]) {
  const publicKey = crypto.x25519PublicKey(key);
  rows.push({
    provider: crypto.name,
    operation: 'X25519',
    'public key, us': cost(() => crypto.x25519PublicKey(key)),
    'shared secret, us': cost(() => crypto.x25519(key, publicKey)),
  });
}
console.table(rows);
