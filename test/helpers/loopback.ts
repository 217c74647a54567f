/** A server and clients on this machine's loopback, over real sockets. */
import { once } from 'node:events';
import {
  type ConnectOptions,
  connect,
  createKeyRing,
  createServer,
  type ListenOptions,
  type RovingServer,
  type RovingSession,
  Ticket,
} from '../../src/node/index.js';

export interface Loopback {
  readonly server: RovingServer;
  readonly ticket: Ticket;
  /** The server's sessions, in the order in which they came. */
  readonly accepted: RovingSession[];
  /** Resolves when the server has its end of the session, too. */
  connect(options?: ConnectOptions): Promise<RovingSession>;
}

/** Closes the server and all clients afterwards, whatever happens. */
export async function withLoopback(
  action: (loopback: Loopback) => Promise<void>,
  options: ListenOptions = {},
): Promise<void> {
  const keys = createKeyRing();
  const accepted: RovingSession[] = [];
  const clients: RovingSession[] = [];
  const server = createServer({ keys }, (session) => accepted.push(session));
  await server.listen({ host: '127.0.0.1', port: 0, ...options });
  const ticket = Ticket.issue(keys, { name: 'test', addresses: server.addresses });
  try {
    await action({
      server,
      ticket,
      accepted,
      async connect(settings) {
        const arrival = once(server, 'session');
        const session = await connect(ticket, settings);
        clients.push(session);
        await arrival;
        return session;
      },
    });
  } finally {
    for (const client of clients) if (!client.isClosed) client.abort();
    await server.close();
  }
}

/** Resolves when `holds`, asked after each of the session's path events. */
export function pathsBecome(
  session: RovingSession,
  holds: (states: string[]) => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds(session.paths.map((path) => path.state).sort())) return;
      session.off('path', look);
      resolve();
    };
    session.on('path', look);
    look();
  });
}
