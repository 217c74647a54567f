import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { asciiBytes, concatBytes, fromHex, toHex } from '../../src/crypto/bytes.js';
import { EnvelopeKey, RetryKey } from '../../src/crypto/envelope.js';
import {
  connectionId,
  type Direction,
  envelopeKey,
  retryKey,
  sessionSecret,
  trafficKeys,
  trafficSecret,
} from '../../src/crypto/key-schedule.js';
import { NoiseHandshake, type NoiseRole } from '../../src/crypto/noise.js';
import { portableCrypto } from '../../src/crypto/portable.js';
import { type KeyPhase, PacketOpener, PacketSealer } from '../../src/crypto/protection.js';
import type { CipherName } from '../../src/crypto/provider.js';
import { nodeCrypto } from '../../src/node/crypto.js';

type Fields<Name extends string> = Readonly<Record<Name, string>>;

interface PacketVector extends Fields<'header' | 'frames' | 'sealed'> {
  readonly packetNumber: number;
  readonly keyPhase: KeyPhase;
}

interface Vectors {
  readonly inputs: Fields<
    | 'keyId'
    | 'secret'
    | 'doorKey'
    | 'clientEphemeral'
    | 'serverEphemeral'
    | 'helloNonce'
    | 'joinNonce'
    | 'retryNonce'
    | 'cookie'
    | 'sessionId'
    | 'clientParameters'
    | 'serverParameters'
  >;
  readonly handshake: Fields<
    | 'envelopeKey'
    | 'envelope'
    | 'prologue'
    | 'firstMessage'
    | 'hello'
    | 'secondMessage'
    | 'accept'
    | 'handshakeHash'
    | 'k1'
    | 'k2'
    | 'sessionSecret'
  >;
  readonly retry: Fields<'retryKey' | 'sealedCookie' | 'packet'>;
  readonly join: Fields<'envelope'> & { readonly pathId: number };
  readonly paths: readonly (Fields<'connectionId' | 'trafficSecret' | 'key' | 'iv'> & {
    readonly pathId: number;
    readonly direction: Direction;
  })[];
  readonly packets: readonly {
    readonly cipher: CipherName;
    readonly pathId: number;
    readonly direction: Direction;
    readonly sequence: readonly PacketVector[];
  }[];
}

const FILE = new URL('../vectors/handshake.json', import.meta.url);
const { inputs, handshake, retry, join, paths, packets } = JSON.parse(
  readFileSync(FILE, 'utf8'),
) as Vectors;

const HELLO = 0x80;
const JOIN = 0xc0;

describe.each([nodeCrypto, portableCrypto])('test/vectors/handshake.json, $name', (crypto) => {
  const secret = fromHex(handshake.sessionSecret);
  const doorKey = fromHex(inputs.doorKey);

  it('envelopes, both ways', () => {
    expect(toHex(envelopeKey(crypto, doorKey))).toBe(handshake.envelopeKey);
    const key = new EnvelopeKey(crypto, fromHex(handshake.envelopeKey));
    const hello = { nonce: fromHex(inputs.helloNonce), id: fromHex(inputs.keyId), detail: 1 };
    expect(toHex(key.seal({ firstByte: HELLO, ...hello }))).toBe(handshake.envelope);
    const route = key.open(HELLO, fromHex(handshake.envelope));
    expect(route).toEqual({ id: hello.id, detail: 1 });

    const id = fromHex(inputs.sessionId);
    const nonce = fromHex(inputs.joinNonce);
    const sealed = key.seal({ firstByte: JOIN, nonce, id, detail: join.pathId });
    expect(toHex(sealed)).toBe(join.envelope);
    expect(key.open(JOIN, fromHex(join.envelope))).toEqual({ id, detail: join.pathId });
  });

  it('RETRY, both ways', () => {
    expect(toHex(retryKey(crypto, doorKey))).toBe(retry.retryKey);
    const key = new RetryKey(crypto, fromHex(retry.retryKey));
    const nonce = fromHex(inputs.retryNonce);
    const helloNonce = fromHex(inputs.helloNonce);
    const sealed = fromHex(retry.sealedCookie);
    expect(key.seal(nonce, helloNonce, fromHex(inputs.cookie))).toEqual(sealed);
    expect(key.open(nonce, helloNonce, sealed)).toEqual(fromHex(inputs.cookie));
    const echo = inputs.helloNonce.slice(0, 16);
    expect(retry.packet).toBe(`a0${echo}${inputs.retryNonce}${retry.sealedCookie}`);
  });

  it('the handshake, both sides', () => {
    const prologue = concatBytes(
      asciiBytes('roving/1'),
      Uint8Array.of(HELLO),
      fromHex(handshake.envelope),
    );
    expect(toHex(prologue)).toBe(handshake.prologue);
    const side = (role: NoiseRole, ephemeral: string) =>
      new NoiseHandshake({
        crypto,
        role,
        pattern: 'NNpsk0',
        cipher: 'ChaCha20-Poly1305',
        psk: fromHex(inputs.secret),
        prologue,
        ephemeral: fromHex(ephemeral),
      });
    const client = side('initiator', inputs.clientEphemeral);
    const server = side('responder', inputs.serverEphemeral);
    const first = fromHex(handshake.firstMessage);
    const second = fromHex(handshake.secondMessage);
    expect(client.writeMessage(fromHex(inputs.clientParameters))).toEqual(first);
    expect(server.readMessage(first)).toEqual(fromHex(inputs.clientParameters));
    expect(server.writeMessage(fromHex(inputs.serverParameters))).toEqual(second);
    expect(client.readMessage(second)).toEqual(fromHex(inputs.serverParameters));
    for (const end of [client, server]) {
      const { k1, k2 } = end.split();
      expect([k1, k2, end.handshakeHash].map(toHex)).toEqual([
        handshake.k1,
        handshake.k2,
        handshake.handshakeHash,
      ]);
    }
    expect(handshake.hello).toBe(`80${handshake.envelope}00${handshake.firstMessage}`);
    const echo = inputs.helloNonce.slice(0, 16);
    expect(handshake.accept).toBe(`90${echo}${handshake.secondMessage}`);
  });

  it('the key schedule', () => {
    const { k1, k2, handshakeHash } = handshake;
    const made = sessionSecret(crypto, fromHex(k1), fromHex(k2), fromHex(handshakeHash));
    expect(made).toEqual(secret);
    expect(paths.length).toBe(6);
    for (const path of paths) {
      const { pathId, direction } = path;
      const traffic = trafficSecret(crypto, secret, pathId, direction);
      expect(toHex(traffic)).toBe(path.trafficSecret);
      expect(toHex(connectionId(crypto, secret, pathId, direction))).toBe(path.connectionId);
      const { key, iv } = trafficKeys(crypto, traffic);
      expect([toHex(key), toHex(iv)]).toEqual([path.key, path.iv]);
    }
  });

  it.each(packets)('DATA packets $direction with $cipher, through a key update', (vector) => {
    const traffic = trafficSecret(crypto, secret, vector.pathId, vector.direction);
    const sealer = new PacketSealer(crypto, vector.cipher, traffic);
    const opener = new PacketOpener(crypto, vector.cipher, traffic);
    let last = -1;
    for (const packet of vector.sequence) {
      if (packet.keyPhase !== sealer.keyPhase) {
        sealer.acknowledged(last);
        sealer.updateKey();
      }
      last = packet.packetNumber;
      const header = fromHex(packet.header);
      const sealed = concatBytes(...sealer.seal(last, header, [fromHex(packet.frames)]));
      expect(toHex(sealed)).toBe(packet.sealed);
      const opened = opener.open(packet.keyPhase, last, header, fromHex(packet.sealed));
      expect(opened).toEqual(fromHex(packet.frames));
    }
    expect(sealer.keyPhase).toBe(1);
    expect(opener.keyPhase).toBe(1);
    expect(opener.failedCount).toBe(0);
  });
});
