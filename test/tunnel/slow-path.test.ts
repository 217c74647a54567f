import { once } from 'node:events';
import { createServer as createHost, connect as dial } from 'node:net';
import { expect, it } from 'vitest';
import {
  connect,
  createKeyRing,
  createServer,
  dialRoute,
  ShapedLink,
  Ticket,
} from '../../src/node/index.js';
import { ServiceHost } from '../../src/service/index.js';
import { ForwardServer, LocalForward } from '../../src/tunnel/index.js';
import { listening } from '../helpers/tunnel.js';

const MIB = 1024 * 1024;
const BYTES = 8 * MIB;
/**
 * What waits to be sent (100 ms are 0.5 MB here), what is under way or in the link's queue (some
 * times 0.1 MB, the product of its rate and its round trip), and Node's own buffers on the way.
 */
const MOST_AHEAD_BYTES = 3 * MIB;

it('a forward takes no more from a program than a slow path sends soon', async () => {
  const keys = createKeyRing();
  const far = new ForwardServer();
  const server = createServer({ keys }, (session) => {
    new ServiceHost(far.services).attach(session, ['forward']);
  });
  await server.listen({ host: '127.0.0.1', port: 0, carriers: ['tcp'] });
  const ticket = Ticket.issue(keys, { name: 'slow', addresses: server.addresses });
  const link = new ShapedLink({ rateMbps: 40, delayMs: 10 });
  const session = await connect(ticket, {
    carriers: ['tcp'],
    dial: async (route, signal, timeoutMs) => {
      const dialled = await dialRoute(route, signal, timeoutMs);
      return { ...dialled, carrier: link.wrap(dialled.carrier) };
    },
  });
  let arrived = 0;
  let mostAhead = 0;
  const host = createHost((socket) => {
    socket.on('data', (bytes) => {
      arrived += bytes.length;
      mostAhead = Math.max(mostAhead, forward.connections.counts.sentBytes - arrived);
    });
    socket.on('end', () => socket.end());
  });
  const target = { host: '127.0.0.1', port: await listening(host) };
  const forward = new LocalForward(session, { bind: { host: undefined, port: 0 }, target });
  try {
    const { port } = await forward.start();
    const program = dial({ port, host: '127.0.0.1', allowHalfOpen: true });
    program.end(Buffer.alloc(BYTES));
    program.resume();
    await once(program, 'end');
    expect(arrived).toBe(BYTES);
    expect(mostAhead).toBeGreaterThan(0);
    expect(mostAhead).toBeLessThan(MOST_AHEAD_BYTES);
  } finally {
    await forward.close();
    host.close();
    session.abort();
    await server.close();
  }
});
