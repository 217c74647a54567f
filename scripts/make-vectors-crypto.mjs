// Writes test/vectors/handshake.json: everything from the ticket to sealed packets, for one fixed
// choice of random bytes. Run it after a deliberate change of the protocol only:
//
//     npx tsc -b && node scripts/make-vectors-crypto.mjs

import { writeFileSync } from 'node:fs';
import {
  asciiBytes,
  concatBytes,
  connectionId,
  portableCrypto as crypto,
  EnvelopeKey,
  envelopeKey,
  NoiseHandshake,
  PacketSealer,
  RetryKey,
  retryKey,
  sessionSecret,
  toHex,
  trafficKeys,
  trafficSecret,
} from '../dist/crypto/index.js';

/** Bytes that can be told apart by eye: `first`, `first + 1` and so on. */
const run = (first, length) => Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);

const HELLO = 0x80;
const ACCEPT = 0x90;
const RETRY = 0xa0;
const JOIN = 0xc0;

const SESSION_ID = run(0xf0, 8);

const inputs = {
  keyId: run(0x01, 8),
  secret: run(0x20, 32),
  doorKey: run(0x40, 32),
  clientEphemeral: run(0x60, 32),
  serverEphemeral: run(0x80, 32),
  helloNonce: run(0xa0, 12),
  joinNonce: run(0xb0, 12),
  retryNonce: run(0xc0, 12),
  cookie: run(0xd0, 16),
  sessionId: SESSION_ID,
  // ciphers 1 and 2, offered in this order
  clientParameters: Uint8Array.of(1, 2, 1, 2),
  // cipher 1; a goneToken; the session id
  serverParameters: concatBytes(
    Uint8Array.of(1, 1, 1, 8, 16),
    run(0xe0, 16),
    Uint8Array.of(11, 8),
    SESSION_ID,
  ),
};

const envelopes = new EnvelopeKey(crypto, envelopeKey(crypto, inputs.doorKey));
const helloEnvelope = envelopes.seal({
  firstByte: HELLO,
  nonce: inputs.helloNonce,
  id: inputs.keyId,
  detail: 1,
});
const prologue = concatBytes(asciiBytes('roving/1'), Uint8Array.of(HELLO), helloEnvelope);
const common = {
  crypto,
  pattern: 'NNpsk0',
  cipher: 'ChaCha20-Poly1305',
  psk: inputs.secret,
  prologue,
};
const client = new NoiseHandshake({
  ...common,
  role: 'initiator',
  ephemeral: inputs.clientEphemeral,
});
const server = new NoiseHandshake({
  ...common,
  role: 'responder',
  ephemeral: inputs.serverEphemeral,
});
const first = client.writeMessage(inputs.clientParameters);
server.readMessage(first);
const second = server.writeMessage(inputs.serverParameters);
client.readMessage(second);
const { k1, k2 } = client.split();
const secret = sessionSecret(crypto, k1, k2, client.handshakeHash);
const echo = inputs.helloNonce.subarray(0, 8);

const handshake = {
  envelopeKey: envelopeKey(crypto, inputs.doorKey),
  envelope: helloEnvelope,
  prologue,
  firstMessage: first,
  hello: concatBytes(Uint8Array.of(HELLO), helloEnvelope, Uint8Array.of(0), first),
  secondMessage: second,
  accept: concatBytes(Uint8Array.of(ACCEPT), echo, second),
  handshakeHash: client.handshakeHash,
  k1,
  k2,
  sessionSecret: secret,
};

const sealedCookie = new RetryKey(crypto, retryKey(crypto, inputs.doorKey)).seal(
  inputs.retryNonce,
  inputs.helloNonce,
  inputs.cookie,
);
const retry = {
  retryKey: retryKey(crypto, inputs.doorKey),
  sealedCookie,
  packet: concatBytes(Uint8Array.of(RETRY), echo, inputs.retryNonce, sealedCookie),
};

const paths = [0, 1, 2 ** 32 - 1].flatMap((pathId) =>
  ['c2s', 's2c'].map((direction) => {
    const traffic = trafficSecret(crypto, secret, pathId, direction);
    return {
      pathId,
      direction,
      connectionId: connectionId(crypto, secret, pathId, direction),
      trafficSecret: traffic,
      ...trafficKeys(crypto, traffic),
    };
  }),
);

const join = {
  pathId: 1,
  envelope: envelopes.seal({
    firstByte: JOIN,
    nonce: inputs.joinNonce,
    id: inputs.sessionId,
    detail: 1,
  }),
};

/** DATA packets of path 1 with connection id; from `updateAt` on under the next key. */
function dataPackets(cipher, direction) {
  const sealer = new PacketSealer(crypto, cipher, trafficSecret(crypto, secret, 1, direction));
  const updateAt = 2;
  const numbers = [0, 1, updateAt, 2 ** 32 + 7, Number.MAX_SAFE_INTEGER];
  return numbers.map((packetNumber) => {
    if (packetNumber === updateAt) {
      sealer.acknowledged(1);
      sealer.updateKey();
    }
    const header = concatBytes(
      Uint8Array.of(sealer.keyPhase),
      connectionId(crypto, secret, 1, direction),
      Uint8Array.of(...[24, 16, 8, 0].map((shift) => (packetNumber >>> shift) & 0xff)),
    );
    // A PING, and padding to a length that differs from packet to packet.
    const frames = concatBytes(Uint8Array.of(1), new Uint8Array(packetNumber % 5));
    const sealed = concatBytes(...sealer.seal(packetNumber, header, [frames]));
    return { packetNumber, keyPhase: sealer.keyPhase, header, frames, sealed };
  });
}

const packets = ['AES-256-GCM', 'ChaCha20-Poly1305'].flatMap((cipher) =>
  ['c2s', 's2c'].map((direction) => ({
    cipher,
    pathId: 1,
    direction,
    sequence: dataPackets(cipher, direction),
  })),
);

const about =
  'Bytes in hexadecimal. Written by scripts/make-vectors-crypto.mjs; explained in docs/protocol.md.';
const text = JSON.stringify(
  { about, inputs, handshake, retry, join, paths, packets },
  (_, value) => (value instanceof Uint8Array ? toHex(value) : value),
  1,
);
writeFileSync(new URL('../test/vectors/handshake.json', import.meta.url), `${text}\n`);
