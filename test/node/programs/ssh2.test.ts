/** The SSH library ssh2 over the streams of a session. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import ssh2, { type ClientChannel } from 'ssh2';
import { describe, expect, it } from 'vitest';
import { turns, withPair } from '../../helpers/node-pair.js';
import { TestPrng } from '../../helpers/prng.js';

/** Takes any password, and runs one command: what comes in goes out. */
function createSshServer(): ssh2.Server {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return new ssh2.Server({ hostKeys: [privateKey] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => context.accept());
    client.on('session', (acceptSession) => {
      acceptSession().on('exec', (acceptExec) => {
        const channel = acceptExec();
        channel.on('end', () => channel.exit(0)).pipe(channel);
      });
    });
  });
}

describe('ssh2 over streams', () => {
  it('runs a command and carries its input and output', async () => {
    const server = createSshServer();
    await withPair({}, async (pair) => {
      pair.server.on('stream', (stream) => server.injectSocket(stream as unknown as Socket));
      const client = new ssh2.Client();
      client.connect({ sock: pair.client.openStream(), username: 'someone', password: 'any' });
      await once(client, 'ready');
      const channel = await new Promise<ClientChannel>((resolve, reject) => {
        client.exec('cat', (error, stream) => (error ? reject(error) : resolve(stream)));
      });
      const body = Buffer.from(new TestPrng(1).bytes(500_000));
      const exited = once(channel, 'exit');
      channel.end(body);
      expect((await buffer(channel)).equals(body)).toBe(true);
      expect((await exited)[0]).toBe(0);
      const closed = once(client, 'close');
      client.end();
      await closed;
      await turns(50);
      expect(pair.client.statistics.streamCount).toBe(0);
      expect(pair.server.statistics.streamCount).toBe(0);
    });
  });
});
