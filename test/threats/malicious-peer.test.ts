/** What an authenticated peer that breaks the rules can do to an endpoint (docs/security.md). */
import { describe, expect, it } from 'vitest';
import { type PathId, PeerError, type Session } from '../../src/core/index.js';
import { contentAt, firstWrongByte } from '../../src/sim/index.js';
import type { AckRange, Frame } from '../../src/wire/index.js';
import { type BenchOptions, ClientBench, ServerBench } from '../helpers/bench.js';
import { TestPrng } from '../helpers/prng.js';
import { encoded, RogueClient, RogueServer, streamFrame } from '../helpers/rogue-peer.js';

const BYTE = Uint8Array.of(7);

function start(carrier: 'tcp' | 'udp', options: BenchOptions = {}) {
  const bench = new ServerBench(options);
  const rogue = RogueClient.connected(bench, { carrier });
  return { bench, rogue, session: bench.session };
}

/** The code with which the endpoint accused its peer; `undefined` while the session goes on. */
function accusation(bench: ServerBench, session: Session): string | undefined {
  const error = bench.errorOf(session);
  return error instanceof PeerError ? error.wireCode : error?.message;
}

function codesHeard(rogue: RogueClient): number[] {
  return rogue
    .listen()
    .flatMap(({ frames }) =>
      frames.flatMap((frame) => (frame.type === 'close' ? [frame.code] : [])),
    );
}

function ack(pathId: number, ranges: readonly AckRange[]): Frame {
  return { type: 'ack', pathId, largest: ranges[0]?.largest ?? 0, delayUs: 0, ranges };
}

describe.each(['tcp', 'udp'] as const)('lies about what has arrived, over %s', (carrier) => {
  it.each([
    [
      'of a packet that was never sent',
      (next: number) => ack(0, [{ smallest: next, largest: next }]),
    ],
    ['far ahead', () => ack(0, [{ smallest: 2 ** 52, largest: 2 ** 53 - 1 }])],
    ['that also reaches back', (next: number) => ack(0, [{ smallest: 0, largest: next + 5 }])],
  ])('T27 an acknowledgement %s ends the session', (_what, lie) => {
    const { bench, rogue, session } = start(carrier);
    const id = session.openStream({ unidirectional: true }, bench.now) ?? -1;
    session.write(id, contentAt(0, 50_000).slice());
    bench.drain();
    const next = session.pathById(0 as PathId)?.recovery.nextNumber ?? 0;
    expect(next).toBeGreaterThan(0);
    expect(session.bufferedBytes).toBe(50_000);
    rogue.send(0, [lie(next)]);
    expect(accusation(bench, session)).toBe('PROTOCOL_VIOLATION');
    expect(codesHeard(rogue)).toContain(7);
    expect(session.bufferedBytes).toBe(50_000);
  });

  it('T34 whatever is said to be lost, only what was written is sent again', () => {
    const { bench, rogue, session } = start(carrier);
    const prng = new TestPrng(34);
    const id = session.openStream({ unidirectional: true }, bench.now) ?? -1;
    let written = 0;
    const check = (): void => {
      for (const { frames } of rogue.listen()) {
        for (const frame of frames) {
          if (frame.type !== 'stream') continue;
          expect(frame.offset + frame.data.length).toBeLessThanOrEqual(written);
          expect(firstWrongByte(frame.offset, frame.data)).toBe(-1);
        }
      }
    };
    for (let round = 0; round < 300 && session.isOpen; round++) {
      if (prng.chance(0.5)) {
        const piece = contentAt(written, 1 + prng.below(20_000)).slice();
        written += session.write(id, piece);
        bench.drain();
      }
      bench.advance(prng.below(60));
      check();
      const { largest } = rogue.path(0);
      const ranges: AckRange[] = [];
      for (let top = largest; top >= 0 && ranges.length < 20; ) {
        const smallest = Math.max(0, top - prng.below(4));
        ranges.push({ smallest, largest: top });
        top = smallest - 2 - prng.below(3);
      }
      if (ranges.length > 0) rogue.send(0, [ack(0, ranges)]);
    }
    check();
    expect(accusation(bench, session)).toBeUndefined();
    expect(written).toBeGreaterThan(100_000);
  });

  it('T30 a peer that never acknowledges costs a bounded buffer, and write() says so', () => {
    const options = { sendBufferBytes: 1_000_000, streamSendBufferBytes: 600_000 };
    const { bench, rogue, session } = start(carrier, { session: options });
    const ids = [0, 1, 2].map(() => session.openStream({ unidirectional: true }, bench.now) ?? -1);
    let taken = 0;
    for (let i = 0; i < 200; i++) {
      for (const id of ids) taken += session.write(id, contentAt(0, 20_000).slice());
      bench.drain();
      bench.advance(50);
      rogue.send(0, [{ type: 'ping' }]); // alive all the time
    }
    expect(taken).toBeLessThanOrEqual(1_000_000);
    expect(session.bufferedBytes).toBe(taken);
    expect(ids.map((id) => session.write(id, contentAt(0, 1).slice()))).toEqual([0, 0, 0]);
    const path = session.pathById(0 as PathId);
    expect(path?.recovery.outstandingCount).toBeLessThan(3_000);
    const back = bench.sent.reduce((sum, one) => sum + one.bytes.length, 0);
    expect(back).toBeLessThan(3 * taken);
  });
});

describe('offsets', () => {
  it('T28 data ahead of the window, or beyond the end, is a typed error', () => {
    const cases: [string, (rogue: RogueClient) => void][] = [
      ['FLOW_CONTROL', (rogue) => rogue.send(0, [streamFrame(0, 2 ** 40, BYTE)])],
      ['FLOW_CONTROL', (rogue) => rogue.send(0, [streamFrame(0, 2 ** 53 - 2, BYTE)])],
      [
        'FINAL_SIZE',
        (rogue) => rogue.send(0, [streamFrame(0, 0, BYTE, true), streamFrame(0, 5, BYTE)]),
      ],
      [
        'FINAL_SIZE',
        (rogue) => rogue.send(0, [streamFrame(0, 9, BYTE), streamFrame(0, 0, BYTE, true)]),
      ],
      [
        'FINAL_SIZE',
        (rogue) =>
          rogue.send(0, [
            streamFrame(0, 9, BYTE),
            { type: 'resetStream', streamId: 0, code: 1, finalSize: 3 },
          ]),
      ],
      ['STREAM_STATE', (rogue) => rogue.send(0, [streamFrame(1, 0, BYTE)])],
      ['STREAM_STATE', (rogue) => rogue.send(0, [streamFrame(3, 0, BYTE)])],
      [
        'FRAME_ENCODING',
        (rogue) =>
          rogue.raw(rogue.carrierId, rogue.sealPayload(0, Uint8Array.of(0x3f)), rogue.remote),
      ],
      [
        'FRAME_ENCODING',
        (rogue) =>
          rogue.raw(rogue.carrierId, rogue.sealPayload(0, new Uint8Array(0)), rogue.remote),
      ],
      ['PROTOCOL_VIOLATION', (rogue) => rogue.send(0, [ack(77, [{ smallest: 0, largest: 0 }])])],
    ];
    for (const [code, attack] of cases) {
      const { bench, rogue, session } = start('udp');
      attack(rogue);
      expect(accusation(bench, session)).toBe(code);
      expect(codesHeard(rogue).length).toBeGreaterThan(0);
      bench.advance(60_000);
      expect(bench.endpoint.statistics().sessions).toBe(0);
    }
  });

  it('T28 what lies behind is ignored, and leaves no gap', () => {
    const { bench, rogue, session } = start('udp');
    const content = contentAt(0, 1_000);
    rogue.send(0, [streamFrame(0, 0, content.subarray(0, 600))]);
    expect(session.read(0, 400, bench.now)).toEqual(content.slice(0, 400));
    rogue.send(0, [streamFrame(0, 0, new Uint8Array(500).fill(9))]);
    rogue.send(0, [streamFrame(0, 300, new Uint8Array(300).fill(9))]);
    rogue.send(0, [streamFrame(0, 600, content.subarray(600), true)]);
    const rest: number[] = [];
    for (let piece = session.read(0, 1_000, bench.now); piece instanceof Uint8Array; ) {
      rest.push(...piece);
      piece = session.read(0, 1_000, bench.now);
    }
    expect(Uint8Array.from(rest)).toEqual(content.slice(400));
    expect(accusation(bench, session)).toBeUndefined();
  });

  it('T33 of one range with two contents over two paths the first stands', () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ] as const) {
      const { bench, rogue, session } = start('udp');
      rogue.join(1, '10.0.0.50:50');
      const contents = [new Uint8Array(100).fill(1), new Uint8Array(100).fill(2)];
      for (const pathId of order) {
        rogue.send(pathId, [streamFrame(0, 0, contents[pathId] ?? BYTE)]);
      }
      // And piece by piece, out of order, across what is there.
      rogue.send(order[0], [streamFrame(0, 150, new Uint8Array(50).fill(3))]);
      rogue.send(order[1], [streamFrame(0, 50, new Uint8Array(200).fill(4))]);
      const read: number[] = [];
      for (let piece = session.read(0, 1_000, bench.now); piece instanceof Uint8Array; ) {
        read.push(...piece);
        piece = session.read(0, 1_000, bench.now);
      }
      const first = order[0] + 1;
      const expected = [
        ...new Array(100).fill(first),
        ...new Array(50).fill(4),
        ...new Array(50).fill(3),
        ...new Array(50).fill(4),
      ];
      expect(read).toEqual(expected);
      expect(accusation(bench, session)).toBeUndefined();
    }
  });
});

describe('holes', () => {
  const window = { receiveWindowBytes: 1_000_000, maxReceiveWindowBytes: 1_000_000 };

  /** One byte of each two, `perPacket` frames at a time; returns how many were taken. */
  function dig(rogue: RogueClient, session: Session, streams: number, frames: number): number {
    let sent = 0;
    for (let i = 0; sent < frames && session.isOpen; i += 100) {
      for (let stream = 0; stream < streams && session.isOpen; stream++) {
        const batch: Frame[] = [];
        for (let k = 0; k < 100; k++) batch.push(streamFrame(4 * stream, 2 * (i + k) + 1, BYTE));
        rogue.send(0, batch);
        if (session.lifecycle !== 'established') return sent;
        sent += batch.length;
      }
    }
    return sent;
  }

  it.each([1, 50, 256])('T29 single bytes with gaps between, on %i streams: bounded', (streams) => {
    const { bench, rogue, session } = start('tcp', { session: window });
    const held = dig(rogue, session, streams, 200_000);
    expect(accusation(bench, session)).toBe('LIMIT_EXCEEDED');
    expect(held).toBeLessThan(20_000);
  });

  it('T29 gaps between honest packets are no attack: a whole window may have them', () => {
    const { bench, rogue, session } = start('tcp', {
      session: { streamReceiveWindowBytes: 32_000_000, receiveWindowBytes: 32_000_000 },
    });
    const piece = contentAt(0, 1_000).slice();
    for (let i = 1; i < 30_000; i += 2) rogue.send(0, [streamFrame(0, 1_000 * i, piece)]);
    expect(accusation(bench, session)).toBeUndefined();
  });

  it.each(['upwards', 'downwards', 'even, then odd'])(
    'T29 a window of single bytes (%s)',
    (order) => {
      const { bench, rogue, session } = start('tcp', { session: window });
      const total = 60_000;
      const content = contentAt(0, total);
      const offsets = Array.from({ length: total }, (_, i) => i);
      if (order === 'downwards') offsets.reverse();
      if (order === 'even, then odd') {
        // Within blocks, so that there are never too many gaps at a time.
        offsets.sort((a, b) => Math.floor(a / 2_000) - Math.floor(b / 2_000) || (a % 2) - (b % 2));
      }
      for (let i = 0; i < total; i += 1_000) {
        const batch = offsets.slice(i, i + 1_000);
        rogue.send(
          0,
          batch.map((at) => streamFrame(0, at, content.subarray(at, at + 1))),
        );
      }
      expect(accusation(bench, session)).toBeUndefined();
      // Few chunks hold it all: that many reads empty it.
      let reads = 0;
      let offset = 0;
      for (;;) {
        const piece = session.read(0, 1_000_000, bench.now);
        if (!(piece instanceof Uint8Array)) break;
        expect(firstWrongByte(offset, piece)).toBe(-1);
        offset += piece.length;
        reads += 1;
      }
      expect(offset).toBe(total);
      expect(reads).toBeLessThan(64 + total / 1_024 + 1);
    },
  );

  it('T29 more than the advertised window is refused', () => {
    const { bench, rogue, session } = start('tcp', { session: window });
    const piece = new Uint8Array(60_000);
    for (let i = 1; i < 40 && session.isOpen; i++) {
      rogue.send(0, [streamFrame(4 * (i % 5), 60_000 * i, piece)]);
    }
    expect(accusation(bench, session)).toBe('FLOW_CONTROL');
  });
});

describe('floods of an authenticated peer', () => {
  it('T31 control frames cost no more answers than packets, and no memory', () => {
    const frames: [string, Frame[]][] = [
      ['ping', new Array(1_000).fill({ type: 'ping' })],
      ['maxData', new Array(500).fill({ type: 'maxData', maximum: 2 ** 41 })],
      ['maxStreams', new Array(500).fill({ type: 'maxStreams', bidirectional: true, maximum: 5 })],
      ['challenge', new Array(140).fill({ type: 'pathChallenge', data: new Uint8Array(8) })],
      ['response', new Array(140).fill({ type: 'pathResponse', data: new Uint8Array(8) })],
      [
        'status',
        new Array(200).fill({ type: 'pathStatus', pathId: 0, sequence: 1, status: 'backup' }),
      ],
      ['ack', new Array(64).fill(ack(0, [{ smallest: 0, largest: 0 }]))],
    ];
    for (const [name, batch] of frames) {
      const { bench, rogue, session } = start('udp');
      bench.advance(1_000);
      const before = bench.sent.length;
      const packets = 1_000;
      let received = 0;
      for (let i = 0; i < packets; i++) {
        const bytes = rogue.seal(0, batch);
        received += bytes.length;
        bench.deliver(bench.udp, bytes, rogue.remote);
      }
      const answers = bench.sent.slice(before);
      const back = answers.reduce((sum, one) => sum + one.bytes.length, 0);
      expect(answers.length, name).toBeLessThanOrEqual(2 * packets + 20);
      expect(back, name).toBeLessThanOrEqual(received);
      expect(session.pathById(0 as PathId)?.pinned.length ?? 0, name).toBeLessThanOrEqual(16);
      expect(accusation(bench, session), name).toBeUndefined();
    }
  });

  it('T31 paths that are opened and abandoned without end: refused after a limit', () => {
    const { bench, rogue, session } = start('udp');
    let opened = 0;
    for (let pathId = 1; pathId < 5_000 && session.lifecycle === 'established'; pathId++) {
      rogue.join(pathId, '10.0.0.50:50', [{ type: 'pathAbandon', pathId, code: 0 }]);
      opened += 1;
    }
    expect(accusation(bench, session)).toBe('LIMIT_EXCEEDED');
    expect(opened).toBeLessThanOrEqual(300);
    // Honest churn goes on for ever.
    const patient = start('udp');
    for (let pathId = 1; pathId < 1_000; pathId++) {
      patient.rogue.join(pathId, '10.0.0.50:50', [{ type: 'pathAbandon', pathId, code: 0 }]);
      patient.bench.advance(200);
    }
    expect(accusation(patient.bench, patient.session)).toBeUndefined();
  });

  it('T31 no more paths are open at a time than allowed, and a few', () => {
    const { bench, rogue, session } = start('udp', { session: { maxPaths: 4 } });
    for (let pathId = 1; pathId <= 40; pathId++) rogue.join(pathId, `10.0.0.${pathId}:50`);
    // Four in transition are borne with; what goes is the peer's own, the longest silent first.
    expect(session.paths().map((path) => path.pathId)).toEqual([33, 34, 35, 36, 37, 38, 39, 40]);
    expect(accusation(bench, session)).toBeUndefined();
  });

  it('T31 streams that come and go while nothing is acknowledged: nothing is thrown, all is bounded', () => {
    for (const carrier of ['tcp', 'udp'] as const) {
      const { bench, rogue, session } = start(carrier);
      let index = 0;
      for (let i = 0; i < 1_500 && session.lifecycle === 'established'; i++) {
        const batch: Frame[] = [];
        for (let k = 0; k < 120; k++) batch.push(streamFrame(4 * index++ + 2, 0, BYTE, true));
        rogue.send(0, batch);
        for (let k = index - 120; k < index; k++) {
          session.read(4 * k + 2, 10, bench.now);
          session.read(4 * k + 2, 10, bench.now);
        }
        bench.drain();
        bench.advance(20);
      }
      expect(session.streamCount).toBeLessThanOrEqual(256);
      expect(session.pathById(0 as PathId)?.recovery.outstandingCount ?? 0).toBeLessThan(2_000);
    }
  });

  it('T31 streams that the application resets and the peer never confirms stay within the limit', () => {
    const { bench, rogue, session } = start('tcp', { session: { maxStreamsBidi: 64 } });
    for (let index = 0; index < 200 && session.lifecycle === 'established'; index++) {
      rogue.send(0, [streamFrame(4 * index, 0, BYTE, true)]);
      if (session.lifecycle !== 'established') break;
      session.reset(4 * index, 1);
      bench.drain();
    }
    expect(accusation(bench, session)).toBe('STREAM_LIMIT');
    expect(session.streamCount).toBeLessThanOrEqual(64);
  });

  it('T32 a million streams: a limit, and an error', () => {
    for (const bits of [0, 2]) {
      const { bench, rogue, session } = start('tcp');
      rogue.send(0, [streamFrame(4 * 255 + bits, 0, BYTE)]);
      expect(session.streamCount).toBe(256);
      rogue.send(0, [streamFrame(4 * 1_000_000 + bits, 0, BYTE)]);
      expect(accusation(bench, session)).toBe('STREAM_LIMIT');
      expect(bench.eventsOf(session).filter((event) => event.type === 'stream')).toHaveLength(256);
    }
  });

  it('T32 streams that are opened and reset in one packet: a limit, and an error', () => {
    const { bench, rogue, session } = start('tcp');
    const resets = Array.from({ length: 4_096 }, (_, index): Frame => {
      return { type: 'resetStream', streamId: 4 * index + 2, code: 1, finalSize: 0 };
    });
    rogue.send(0, resets);
    expect(accusation(bench, session)).toBe('STREAM_LIMIT');
    const opened = bench.eventsOf(session).filter((event) => event.type === 'stream');
    expect(opened).toHaveLength(256 + 128);
  });

  it('T32 streams that come and go one after the other have no limit', () => {
    const { bench, rogue, session } = start('tcp');
    for (let index = 0; index < 2_000 && session.lifecycle === 'established'; index++) {
      rogue.send(0, [{ type: 'resetStream', streamId: 4 * index + 2, code: 1, finalSize: 0 }]);
      if (index % 50 !== 0) continue;
      bench.advance(30);
      rogue.listen();
      rogue.acknowledge(0);
    }
    expect(accusation(bench, session)).toBeUndefined();
  });

  it('T31 R-ACK-3 65 ACK frames in a packet are refused, 64 are not', () => {
    for (const [count, code] of [
      [64, undefined],
      [65, 'LIMIT_EXCEEDED'],
    ] as const) {
      const { bench, rogue, session } = start('udp');
      expect(rogue.listen().length).toBeGreaterThan(0);
      rogue.send(0, new Array(count).fill(ack(0, [{ smallest: 0, largest: 0 }])));
      expect(accusation(bench, session)).toBe(code);
    }
  });

  it('T32 4097 frames in a packet are refused', () => {
    const { bench, rogue, session } = start('tcp');
    const payload = encoded(new Array(4_097).fill({ type: 'ping' }));
    rogue.raw(rogue.carrierId, rogue.sealPayload(0, payload), undefined);
    expect(accusation(bench, session)).toBe('FRAME_ENCODING');
  });
});

describe('a network that resets every connection', () => {
  it('T19 abandoned paths do not add up to an error, however long it lasts', () => {
    const bench = new ClientBench('udp');
    const server = RogueServer.accepted(bench);
    expect(bench.session.lifecycle).toBe('established');
    server.send(0, [{ type: 'ping' }]);
    for (let i = 0; i < 3_000; i++) {
      const tcp = bench.tcp();
      bench.endpoint.openPath(bench.session, tcp, undefined, bench.now);
      bench.drain();
      bench.advance(100);
      bench.close(tcp, new Error('ECONNRESET'));
    }
    expect(bench.session.lifecycle).toBe('established');
    expect(bench.session.paths()).toHaveLength(1);
  });
});
