/**
 * An end that was closing acknowledged stream data that it threw away, with each repetition of its
 * CLOSE: the other end took it for delivered. And a packet that broke the protocol did not count as
 * received, so that the next one on a stream carrier cost the carrier before the CLOSE was out.
 * A graceful close waited for the ends of streams that the peer opened meanwhile, without end. An
 * ACCEPT that came with the end of its session broke an invariant.
 */
import { describe, expect, it } from 'vitest';
import {
  AbortedError,
  ConnectTimeoutError,
  type Instant,
  PeerError,
} from '../../src/core/index.js';
import { concatBytes } from '../../src/crypto/index.js';
import { type Frame, recordHeader } from '../../src/wire/index.js';
import { ClientBench, SERVER_ADDRESS, ServerBench } from '../helpers/bench.js';
import { type Heard, RogueClient, RogueServer, streamFrame } from '../helpers/rogue-peer.js';

const GRACEFUL: Frame = { type: 'close', application: true, code: 0, reason: '' };

function connected(carrier: 'tcp' | 'udp'): { bench: ServerBench; rogue: RogueClient } {
  const bench = new ServerBench();
  const rogue = RogueClient.connected(bench, { carrier });
  rogue.listen();
  rogue.acknowledge(0);
  return { bench, rogue };
}

/** The largest packet number that these acknowledge; -1 if none. */
function largestIn(heard: readonly Heard[]): number {
  const frames = heard.flatMap((one) => one.frames);
  return Math.max(-1, ...frames.map((frame) => (frame.type === 'ack' ? frame.largest : -1)));
}

function closesIn(heard: readonly Heard[]): number[] {
  const frames = heard.flatMap((one) => one.frames);
  return frames.flatMap((frame) => (frame.type === 'close' ? [frame.code] : []));
}

describe.each(['tcp', 'udp'] as const)('an end that is closing, over %s', (carrier) => {
  it('R-ERRORS-2 does not acknowledge what it throws away, but for a CLOSE', () => {
    const { bench, rogue } = connected(carrier);
    bench.session.close(bench.now);
    bench.drain();
    const before = rogue.path(0).nextNumber - 1;
    expect(closesIn(rogue.listen())).toEqual([0]);
    for (let i = 0; i < 10; i++) rogue.send(0, [streamFrame(0, 1_000 * i, new Uint8Array(1_000))]);
    bench.advance(900);
    const repeated = rogue.listen();
    expect(closesIn(repeated).length).toBeGreaterThan(0);
    expect(largestIn(repeated)).toBe(before);
    rogue.send(0, [GRACEFUL]);
    expect(largestIn(rogue.listen())).toBe(rogue.path(0).nextNumber - 1);
    expect(bench.errorOf(bench.session)).toBeUndefined();
  });
});

describe('a packet that breaks the protocol, with the next one in the same chunk of TCP', () => {
  it('is answered with the CLOSE that says so', () => {
    const { bench, rogue } = connected('tcp');
    const never: Frame = { type: 'maxStreamData', streamId: 1, maximum: 1 };
    const packets = [rogue.seal(0, [never]), rogue.seal(0, [{ type: 'ping' }])];
    const chunk = packets.flatMap((packet) => [recordHeader(packet.length), packet]);
    bench.deliver(rogue.carrierId, concatBytes(...chunk));
    expect(bench.errorOf(bench.session)).toBeInstanceOf(PeerError);
    expect(closesIn(rogue.listen())).toEqual([4]);
    expect(bench.closedCarriers.size).toBe(0);
  });
});

describe('a graceful close', () => {
  it('ends although the peer opens one stream after the other', () => {
    const { bench, rogue } = connected('tcp');
    const { session } = bench;
    const id = session.openStream({ unidirectional: true }, bench.now) ?? -1;
    session.write(id, Uint8Array.of(1));
    session.close(bench.now);
    bench.drain();
    rogue.listen();
    rogue.send(0, [streamFrame(0, 0, Uint8Array.of(2))]);
    expect(session.lifecycle).toBe('finishing');
    // All but what is said of the new stream.
    rogue.acknowledge(0);
    rogue.send(0, [streamFrame(4, 0, Uint8Array.of(2))]);
    expect(session.lifecycle).toBe('closing');
    expect(closesIn(rogue.listen())).toEqual([0]);
  });
});

describe('an ACCEPT that comes with the end of its session', () => {
  it.each([
    ['after abort()', AbortedError],
    ['after the deadline', ConnectTimeoutError],
  ])('changes nothing %s', (when, error) => {
    const client = new ClientBench('udp');
    const server = new RogueServer(client);
    const { endpoint, session } = client;
    const accept = server.accept();
    if (when === 'after abort()') session.abort(0, 'enough', client.now);
    else {
      client.now = (client.now + 3_600_000) as Instant;
      endpoint.handleTimeout(client.now);
    }
    endpoint.receive(client.udp, accept, client.now, SERVER_ADDRESS);
    client.drain();
    expect(client.errorOf(session)).toBeInstanceOf(error);
    expect(session.paths()).toEqual([]);
  });
});
