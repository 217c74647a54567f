/** How sessions end, and what both ends know afterwards. */
import { describe, expect, it } from 'vitest';
import {
  ClosedByPeerError,
  ConnectTimeoutError,
  ContinuityError,
  RevokedError,
  SupersededError,
} from '../../src/core/index.js';
import { MIN_SEND_AHEAD_BYTES } from '../../src/core/options.js';
import { Bed, type BedEnd, BulkSender, powerOn, Reader } from '../../src/sim/index.js';
import { CARRIERS, established, runUntilRead, upload, way } from '../helpers/beds.js';

const MIB = 1_048_576;

function end(bed: Bed, who: 'client' | 'server'): BedEnd {
  return who === 'client' ? bed.client : bed.server;
}

describe.each(CARRIERS)('over %s', (carrier) => {
  describe.each(['client', 'server'] as const)('a graceful close by the %s', (closer) => {
    it('delivers all that was written, then both ends see closed without an error', () => {
      const bed = established({ seed: `close ${carrier}`, paths: [way('only', carrier, '20/40')] });
      const closing = end(bed, closer);
      const other = end(bed, closer === 'client' ? 'server' : 'client');
      const reader = new Reader(other);
      new BulkSender(closing, { bytes: MIN_SEND_AHEAD_BYTES });
      closing.host.command((_core, now) => closing.session.close(now));
      const bothClosed = () => bed.client.isClosed && bed.server.isClosed;
      expect(bed.world.run({ until: bothClosed, forMs: 10_000 })).toBe('done');
      expect(reader.wrongByteAt).toBe(-1);
      expect(reader.readBytes).toBe(MIN_SEND_AHEAD_BYTES);
      expect([bed.client.error, bed.server.error]).toEqual([undefined, undefined]);
      // The last event, also if the paths end later.
      bed.world.run({ forMs: 60_000 });
      expect(closing.events.at(-1)).toEqual({ type: 'closed' });
      expect(other.events.at(-1)).toEqual({ type: 'closed' });
      expect(bed.clientHost.core.statistics().sessions).toBe(0);
      expect(bed.serverHost.core.statistics().sessions).toBe(0);
    });
  });

  it('both ends may close at the same time', () => {
    const bed = established({ seed: `both ${carrier}`, paths: [way('only', carrier, '20/40')] });
    for (const one of [bed.client, bed.server]) {
      one.host.command((_core, now) => one.session.close(now));
    }
    bed.world.run({ forMs: 5_000 });
    for (const one of [bed.client, bed.server]) {
      expect(one.isClosed).toBe(true);
      expect(one.error).toBeUndefined();
    }
  });

  it('an abort carries code and reason, and does not wait for data', () => {
    const bed = established({ seed: `abort ${carrier}`, paths: [way('only', carrier, '1/40')] });
    upload(bed, { bytes: 5 * MIB });
    bed.clientHost.command((_core, now) => bed.client.session.abort(4_711, 'enough', now));
    bed.world.run({ forMs: 2_000 });
    expect(bed.client.error).toMatchObject({ code: 'ERR_ABORTED' });
    const { error } = bed.server;
    expect(error).toBeInstanceOf(ClosedByPeerError);
    expect(error).toMatchObject({
      code: 'ERR_CLOSED_BY_PEER',
      application: true,
      closeCode: 4_711,
    });
    expect(error?.message).toContain('enough');
  });

  it('a revoked key ends its sessions, and lets no new one in', () => {
    const bed = established({ seed: `revoke ${carrier}`, paths: [way('only', carrier, '20/40')] });
    bed.serverHost.command((core, now) => core.revoke(bed.ticket.keyId, true, now));
    bed.world.run({ forMs: 2_000 });
    expect(bed.client.error).toBeInstanceOf(RevokedError);
    expect(bed.server.error).toBeInstanceOf(RevokedError);
    bed.connect({ connectTimeoutMs: 3_000 });
    bed.world.run({ forMs: 4_000 });
    expect(bed.client.error).toBeInstanceOf(ConnectTimeoutError);
    expect(bed.accepted).toHaveLength(1);
  });

  it('a client that nobody answers gives up after its time', () => {
    const bed = new Bed({ seed: `timeout ${carrier}`, paths: [way('only', carrier, '20/40')] });
    bed.paths.get('only')?.set({ black: true });
    bed.connect({ connectTimeoutMs: 7_000 });
    bed.world.run({ forMs: 6_900 });
    expect(bed.client.isClosed).toBe(false);
    bed.world.run({ forMs: 200 });
    expect(bed.client.error).toBeInstanceOf(ConnectTimeoutError);
    expect(bed.client.error).toMatchObject({ code: 'ERR_CONNECT_TIMEOUT' });
  });

  it('a session without any path that works ends after its time, with how far it came', () => {
    const options = { sessionTimeoutMs: 30_000 };
    const paths = [way('only', carrier, '20/40')];
    const bed = established({ seed: `silent ${carrier}`, client: options, server: options, paths });
    const { sender } = upload(bed, { bytes: 5 * MIB });
    bed.world.run({ forMs: 500 });
    bed.paths.get('only')?.set({ black: true });
    bed.world.run({ forMs: 29_000 });
    expect([bed.client.isClosed, bed.server.isClosed]).toEqual([false, false]);
    bed.world.run({ forMs: 2_000 });
    for (const one of [bed.client, bed.server]) {
      expect(one.error).toBeInstanceOf(ContinuityError);
      expect(one.error).toMatchObject({ code: 'ERR_SESSION_TIMEOUT' });
    }
    const error = bed.client.error as ContinuityError;
    const stream = error.streams.find(({ streamId }) => streamId === sender.streamId);
    expect(stream?.writtenBytes).toBe(sender.writtenBytes);
    expect(stream?.acknowledgedBytes).toBeGreaterThan(0);
  });

  it('a server that has lost its sessions says so soon after contact, with how far it came', () => {
    const bed = established({ seed: `gone ${carrier}`, paths: [way('only', carrier, '20/40')] });
    const { reader, sender } = upload(bed, { bytes: 50 * MIB });
    bed.world.run({ forMs: 1_000 });
    const before = reader.readBytes;
    bed.serverHost.crash('reset');
    bed.startServer();
    const restartedAt = bed.world.now;
    bed.world.run({ until: () => bed.client.isClosed, forMs: 20_000 });
    // A datagram client notices silence, then asks; a TCP client dials again: 200 ms or more.
    expect(bed.world.now - restartedAt).toBeLessThan(carrier === 'udp' ? 250 : 500);
    const error = bed.client.error as ContinuityError;
    expect(error).toBeInstanceOf(ContinuityError);
    expect(error.code).toBe('ERR_SESSION_GONE');
    const stream = error.streams.find(({ streamId }) => streamId === sender.streamId);
    expect(stream?.acknowledgedBytes).toBeGreaterThan(0);
    expect(stream?.acknowledgedBytes).toBeLessThanOrEqual(before);
  });

  it('a client that lost everything but its ticket makes a new session', () => {
    const bed = established({ seed: `crash ${carrier}`, paths: [way('only', carrier, '20/40')] });
    upload(bed, { bytes: 50 * MIB });
    bed.world.run({ forMs: 500 });
    bed.clientHost.crash('silent');
    bed.world.run({ forMs: 5_000 });
    powerOn(bed.world.machine('client'));
    bed.startClient();
    bed.connect();
    expect(bed.world.run({ until: () => bed.accepted.length === 2, forMs: 5_000 })).toBe('done');
    bed.world.run({ forMs: 500 });
    const { reader } = upload(bed, { bytes: MIB });
    runUntilRead(bed, reader, MIB, 10_000);
  });

  it('a newer session of an instance takes over, once, and the older is told', () => {
    const bed = established({
      seed: `takeover ${carrier}`,
      paths: [way('only', carrier, '20/40')],
    });
    const instance = new Uint8Array([1, 2, 3]);
    const first = bed.connect({ instance, epoch: 1 });
    bed.world.run({ forMs: 2_000 });
    expect(first.session.lifecycle).toBe('established');
    const second = bed.connect({ instance, epoch: 2 });
    bed.world.run({ forMs: 2_000 });
    expect(second.session.lifecycle).toBe('established');
    const held = bed.accepted.slice(1);
    expect(held.map((one) => one.error?.constructor)).toEqual([SupersededError, undefined]);
    // No way back for the older one: not with its own epoch, nor with the present one.
    for (const epoch of [1, 2]) {
      bed.connect({ instance, epoch, connectTimeoutMs: 3_000 });
      bed.world.run({ forMs: 4_000 });
      expect(bed.client.error).toBeInstanceOf(ConnectTimeoutError);
    }
    expect(bed.accepted).toHaveLength(3);
    expect(second.session.lifecycle).toBe('established');
  });
});

describe('the older session of an instance', () => {
  it('hears why it ended, with an error of its own', () => {
    const bed = new Bed({ seed: 'told', paths: [way('only', 'udp', '20/40')] });
    const instance = new Uint8Array([9]);
    const first = bed.connect({ instance, epoch: 1 });
    expect(bed.establish()).toBe(true);
    const seen: unknown[] = [];
    // The bed follows the newest session of its client only.
    const { session } = first;
    bed.connect({ instance, epoch: 2 });
    bed.world.run({ forMs: 3_000 });
    seen.push(session.lifecycle, bed.server.session.lifecycle);
    expect(seen).toEqual(['closed', 'established']);
  });
});
