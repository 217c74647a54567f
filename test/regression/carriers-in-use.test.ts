/** Carriers that were taken for another one's, and handshakes that wait behind a deaf carrier. */
import { describe, expect, it } from 'vitest';
import { type CarrierId, UsageError } from '../../src/core/index.js';
import { concatBytes } from '../../src/crypto/index.js';
import { recordHeader } from '../../src/wire/index.js';
import { ClientBench, ServerBench } from '../helpers/bench.js';
import { RogueClient, RogueServer } from '../helpers/rogue-peer.js';

function record(packet: Uint8Array): Uint8Array {
  return concatBytes(recordHeader(packet.length), packet);
}

describe('an endpoint that is a server and connects too', () => {
  it('does not close its own carriers as if strangers had opened them', () => {
    const bench = new ServerBench();
    const session = bench.endpoint.connect(bench.ticket, {}, bench.now);
    const [own, stranger] = [bench.tcp(), bench.tcp()];
    bench.endpoint.openPath(session, own, undefined, bench.now);
    bench.drain();
    expect(bench.endpoint.statistics().unattachedCarriers).toBe(1);
    bench.advance(12_000);
    expect(bench.closedCarriers.has(stranger)).toBe(true);
    expect(bench.closedCarriers.has(own)).toBe(false);
  });
});

describe('the stream carriers of a client', () => {
  it('are closed at the end of a session that was never established', () => {
    const client = new ClientBench('tcp');
    client.advance(120_000);
    expect(client.session.lifecycle).toBe('closed');
    expect(client.closedCarriers.has(client.carrierId)).toBe(true);
  });

  it('are closed when the peer allows no path for them', () => {
    const client = new ClientBench('tcp');
    const second = client.tcp();
    client.endpoint.openPath(client.session, second, undefined, client.now);
    const server = new RogueServer(client);
    client.drain();
    const hellos = client.sent.filter((one) => one.carrierId === client.carrierId);
    expect(hellos).toHaveLength(1);
    client.sent.splice(
      client.sent.findIndex((one) => one.carrierId === second),
      1,
    );
    server.answer(server.accept({ maxPaths: 1 }));
    expect(client.session.paths()).toHaveLength(1);
    expect(client.closedCarriers.has(second)).toBe(true);
  });

  it('carry one path: a second use is an error', () => {
    const client = new ClientBench('tcp');
    const again = (id: CarrierId) =>
      client.endpoint.openPath(client.session, id, undefined, client.now);
    expect(() => again(client.carrierId)).toThrow(UsageError);
    RogueServer.accepted(client);
    expect(client.session.lifecycle).toBe('established');
    expect(() => again(client.carrierId)).toThrow(UsageError);
    expect(again(client.tcp())).toBe(1);
  });

  it('are forgotten by a handshake when what they deliver has them closed', () => {
    const client = new ClientBench('tcp');
    client.deliver(client.carrierId, Uint8Array.of(0, 0));
    expect(client.closedCarriers.has(client.carrierId)).toBe(true);
    client.advance(5_000);
    expect(client.endpoint.openPath(client.session, client.tcp(), undefined, client.now)).toBe(
      undefined,
    );
    client.drain();
    expect(client.sent).toHaveLength(2);
  });
});

describe('a client that repeats its HELLO on a stream carrier and does not read', () => {
  it('gets one answer, and holds up nobody', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'udp' });
    const deaf = bench.tcp(0);
    const hello = record(rogue.helloBytes(rogue.makeHello()));
    for (let i = 0; i < 5_000; i++) bench.deliver(deaf, hello);
    expect(rogue.handshake()).toBe('accepted');
    expect(new RogueClient(bench, { carrier: 'tcp' }).handshake()).toBe('accepted');
    bench.endpoint.grantSend(deaf, 100_000, bench.now);
    bench.drain();
    expect(bench.sent.filter((one) => one.carrierId === deaf)).toHaveLength(1);
    expect(bench.closedCarriers.has(deaf)).toBe(false);
  });

  it('loses the carrier with a second one', () => {
    const bench = new ServerBench();
    const rogue = new RogueClient(bench, { carrier: 'tcp' });
    expect(rogue.handshake()).toBe('accepted');
    expect(rogue.handshake()).toBeUndefined();
    expect(bench.closedCarriers.has(rogue.carrierId)).toBe(true);
    expect(bench.endpoint.statistics().unattachedCarriers).toBe(0);
  });
});
