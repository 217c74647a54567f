/** `roving connect`: standard input and output over a session, as ssh's `ProxyCommand`. @module */

import { connectStdio, TunnelConnections } from '../../tunnel/index.js';
import { parseHostPort } from '../arguments.js';
import { withClient } from '../client.js';
import { failUsage } from '../failure.js';
import type { ClientOptionValues } from '../program-options.js';
import { offerStatus } from '../status-report.js';

export interface ConnectValues extends ClientOptionValues {
  readonly to: string;
}

export async function connectVerb(values: ConnectValues): Promise<void> {
  const { host, port } = parseHostPort(values.to, { option: '--to' });
  if (values.ticket === '-') {
    return failUsage('--ticket - is not for connect, whose standard input goes to the server');
  }
  await withClient('connect', values, async (client) => {
    const session = await client.connect();
    const connections = new TunnelConnections();
    const stopStatus = await offerStatus(
      { verb: 'connect', sessions: () => client.sessions, connections: () => connections.list() },
      client.log,
    );
    const { stdin, stdout } = process;
    // What is stopped in the middle fails like what breaks; the signal is told as the reason.
    const stop = (): void => session.abort(0, 'the program was stopped');
    client.signal.addEventListener('abort', stop, { once: true });
    try {
      const result = await connectStdio(session, host, port, { stdin, stdout, connections });
      client.log.info('done: {sentBytes} bytes sent, {receivedBytes} received', { ...result });
    } finally {
      client.signal.removeEventListener('abort', stop);
      stopStatus();
    }
  });
}
