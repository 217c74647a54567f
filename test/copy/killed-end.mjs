/**
 * One end of a copy in a process of its own, over real sockets. A client kills itself with SIGKILL when
 * so many bytes have been moved; a server serves until somebody kills it. Run with the built package.
 *
 *     TICKET=... node killed-end.mjs client SOURCE DESTINATION BYTES
 *     node killed-end.mjs server FOLDER             # prints its ticket
 */
import { randomBytes } from 'node:crypto';
import { copyToRemote, filesService } from '../../dist/copy/index.js';
import { connect, createServer, KeyRing, Ticket } from '../../dist/node/index.js';
import { ServiceHost } from '../../dist/service/index.js';

const [role, ...args] = process.argv.slice(2);
const random = (length) => new Uint8Array(randomBytes(length));

if (role === 'client') {
  const [source = '', destination = '', bytes] = args;
  const session = await connect(process.env['TICKET'] ?? '');
  await copyToRemote(session, [source], destination, {
    onProgress: (progress) => {
      if (progress.bytes >= Number(bytes)) process.kill(process.pid, 'SIGKILL');
    },
  });
  process.exit(3);
} else {
  const keys = new KeyRing(random(32), random(32));
  const entry = { keyId: random(8), secret: random(32), name: 'test', grants: [] };
  keys.add(entry);
  const host = new ServiceHost([filesService()]);
  const server = createServer({ keys }, (session) => host.attach(session, [`files:${args[0]}`]));
  await server.listen({ host: '127.0.0.1', port: 0 });
  const ticket = { ...entry, doorKey: keys.doorKey, addresses: server.addresses };
  process.stdout.write(`${Ticket.format(ticket)}\n`);
}
