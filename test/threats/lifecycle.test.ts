/** Takeover, loss of a session, and long sleeps (docs/security.md). */
import { describe, expect, it } from 'vitest';
import { ContinuityError, type Instant, SupersededError } from '../../src/core/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { encodeGone, FIRST_GONE, FIRST_JOIN } from '../../src/wire/index.js';
import { ClientBench, ServerBench } from '../helpers/bench.js';
import { RogueClient, RogueServer, streamFrame } from '../helpers/rogue-peer.js';
import { Scene } from '../helpers/threat-scene.js';

const HOUR_MS = 3_600_000;
const instance = new TextEncoder().encode('laptop');

describe('two clients with the same secret', () => {
  function client(bench: ServerBench, epoch: number, port: number): RogueClient {
    const remote = `10.0.0.${port}:${port}`;
    return new RogueClient(bench, { carrier: 'udp', remote, parameters: { instance, epoch } });
  }

  function connect(bench: ServerBench, epoch: number, port: number): RogueClient | undefined {
    const one = client(bench, epoch, port);
    if (one.handshake() !== 'accepted') return undefined;
    one.send(0, [{ type: 'ping' }]);
    return one;
  }

  it('T18 the newer epoch takes over; the older is told so, and its bytes go nowhere else', () => {
    const bench = new ServerBench();
    const older = connect(bench, 1, 1);
    const first = bench.session;
    older?.send(0, [streamFrame(0, 0, Uint8Array.of(1, 1, 1))]);
    const newer = connect(bench, 2, 2);
    const second = bench.session;
    expect(second).not.toBe(first);
    expect(bench.errorOf(first)).toBeInstanceOf(SupersededError);
    const codes = older
      ?.listen()
      .flatMap(({ frames }) => frames.flatMap((one) => (one.type === 'close' ? [one.code] : [])));
    expect(codes).toEqual([9]);
    newer?.send(0, [streamFrame(0, 0, Uint8Array.of(2, 2, 2))]);
    older?.send(0, [streamFrame(0, 3, Uint8Array.of(1, 1, 1))]);
    expect(second.read(0, 10, bench.now)).toEqual(Uint8Array.of(2, 2, 2));
    expect(second.read(0, 10, bench.now)).toBeUndefined();
    // The same epoch, a lower one, and the older HELLO again: no answer.
    bench.advance(5_000);
    expect(connect(bench, 2, 3)).toBeUndefined();
    expect(connect(bench, 1, 4)).toBeUndefined();
    expect(bench.errorOf(second)).toBeUndefined();
  });

  it('T18 of two half-open ones the lower epoch does not take the session back', () => {
    const bench = new ServerBench();
    const [low, high] = [client(bench, 5, 5), client(bench, 6, 6)];
    expect(low.handshake()).toBe('accepted');
    expect(high.handshake()).toBe('accepted');
    high.send(0, [{ type: 'ping' }]);
    low.send(0, [{ type: 'ping' }]);
    expect(bench.sessions).toHaveLength(1);
    expect(bench.errorOf(bench.session)).toBeUndefined();
  });

  it('T18 clients that fight with ever higher epochs take over once a second at most', () => {
    const bench = new ServerBench();
    for (let epoch = 1; epoch <= 600; epoch++) {
      connect(bench, epoch, 1 + (epoch % 2));
      bench.advance(50);
    }
    const takeovers = bench.sessions.length - 1;
    expect(takeovers).toBeGreaterThan(20);
    expect(takeovers).toBeLessThanOrEqual(30);
    expect(bench.endpoint.statistics().sessions).toBeLessThanOrEqual(3);
  });

  it('T18 the client that is superseded gets a typed error', () => {
    const bench = new ClientBench('udp');
    const server = RogueServer.accepted(bench);
    const code = { application: false, code: 9, frameType: 0, reason: '' } as const;
    server.send(0, [{ type: 'close', ...code }]);
    expect(bench.errorOf(bench.session)).toMatchObject({ code: 'ERR_SUPERSEDED' });
  });
});

describe('a server that has lost the session', () => {
  it.each(['udp', 'tcp'] as const)(
    'T41 after a restart the client knows a round trip after contact (%s)',
    (carrier) => {
      const scene = new Scene({ carriers: [carrier] });
      const records = scene.tap();
      scene.begin(50_000_000, 'client');
      const { client, serverHost, world } = scene.bed;
      serverHost.crash('reset');
      scene.run(2_000);
      expect(client.isClosed).toBe(false);
      scene.bed.startServer();
      const restartedAt = world.now;
      expect(world.run({ until: () => client.isClosed, forMs: 30_000 })).toBe('done');
      const kindAt = carrier === 'tcp' ? 2 : 0;
      const join = records.find(
        (one) => one.at >= restartedAt && (one.bytes[kindAt] ?? 0) >> 1 === FIRST_JOIN >> 1,
      );
      expect(join).toBeDefined();
      expect(world.now - (join?.at ?? 0)).toBeLessThan(25);
      const { error } = client;
      expect(error).toMatchObject({ code: 'ERR_SESSION_GONE' });
      if (!(error instanceof ContinuityError)) throw new Error('not the typed error');
      const [stream] = error.streams;
      expect(stream?.writtenBytes).toBe(scene.sender.writtenBytes);
      expect(stream?.acknowledgedBytes).toBeLessThanOrEqual(scene.reader.readBytes);
      expect(stream?.acknowledgedBytes).toBeGreaterThan(0);
    },
  );

  it("T42 a stranger, a replay, or another session's word does not make it so", () => {
    const scene = new Scene({ carriers: ['udp', 'udp'] });
    const records = scene.tap();
    scene.begin(3_000_000);
    const echoes = records
      .filter((one) => one.direction === 'up' && (one.bytes[0] ?? 0) >= 0x80)
      .map((one) => one.bytes.slice(1, 9));
    expect(echoes.length).toBeGreaterThan(0);
    const tokens = [new Uint8Array(16), scene.bed.keyRing.goneToken(nodeCrypto, new Uint8Array(8))];
    const client = records.find((one) => one.direction === 'up')?.source ?? '';
    for (const echo of echoes) {
      for (const token of tokens) {
        const bytes = encodeGone({ echo, token });
        expect(bytes[0]).toBe(FIRST_GONE);
        scene.box().injectDatagram({
          direction: 'down',
          source: scene.serverAddress(),
          destination: client,
          bytes,
        });
      }
    }
    scene.expectUnaffected();
  });

  it('T42 a JOIN of a live session is never answered by GONE, nor is one of a half-open one', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    rogue.handshake();
    const before = bench.sent.length;
    const forged = (): Uint8Array => {
      rogue.addPath(9, bench.udp, '10.66.0.1:1');
      const bytes = rogue.sealJoin(9, [{ type: 'ping' }]);
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
      return bytes;
    };
    bench.deliver(bench.udp, forged(), '10.66.0.1:1');
    rogue.send(0, [{ type: 'ping' }]);
    bench.deliver(bench.udp, forged(), '10.66.0.1:1');
    bench.advance(1_000);
    const toStranger = bench.sent.slice(before).filter((one) => one.remote === '10.66.0.1:1');
    expect(toStranger).toEqual([]);
    // Of an unknown one it is, and with fewer bytes than came.
    const unknown = rogue.sealJoin(9, [{ type: 'ping' }], new Uint8Array(8));
    bench.deliver(bench.udp, unknown, '10.66.0.1:1');
    expect(bench.bytesTo('10.66.0.1:1')).toBe(25);
    expect(unknown.length).toBeGreaterThan(25);
  });
});

describe('time', () => {
  it.each(['udp', 'tcp'] as const)(
    'T39 the client sleeps for an hour in the middle (%s)',
    (carrier) => {
      const scene = new Scene({ carriers: [carrier] }).begin(6_000_000);
      scene.bed.clientHost.suspend(HOUR_MS);
      scene.run(HOUR_MS);
      scene.finish();
      expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
      expect(
        scene.bed.client.session.paths().every((path) => path.statistics.replayedPackets === 0),
      );
    },
  );

  it.each(['udp', 'tcp'] as const)('T39 the server stands still for a minute (%s)', (carrier) => {
    const scene = new Scene({ carriers: [carrier] }).begin(6_000_000, 'client');
    scene.bed.serverHost.suspend(60_000);
    scene.run(60_000);
    scene.finish();
    expect(scene.news().filter((event) => event.type !== 'path')).toEqual([]);
  });

  it('T39 a day that passes without a single timer is survived in one step', () => {
    const bench = new ServerBench();
    const rogue = RogueClient.connected(bench, { carrier: 'udp' });
    rogue.send(0, [streamFrame(0, 0, Uint8Array.of(1))]);
    bench.now = (bench.now + 23 * HOUR_MS) as Instant;
    bench.endpoint.handleTimeout(bench.now);
    bench.drain();
    rogue.send(0, [streamFrame(0, 1, Uint8Array.of(2), true)]);
    expect(bench.session.lifecycle).toBe('established');
    const read = [1, 2].map(() => bench.session.read(0, 1, bench.now));
    expect(read).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    expect(bench.session.read(0, 1, bench.now)).toBe('end');
    expect(bench.advance(60_000)).toBeLessThan(1_000);
  });
});
