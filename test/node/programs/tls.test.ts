/** Node's own tls over the streams of a session. */
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { type Certificate, selfSigned } from '../../helpers/certificate.js';
import { turns, withPair } from '../../helpers/node-pair.js';
import { TestPrng } from '../../helpers/prng.js';

describe('tls over streams', () => {
  const certificate: Certificate = selfSigned('roving.test');

  async function withTls(
    onSocket: (socket: tls.TLSSocket) => void,
    action: (socket: tls.TLSSocket) => Promise<void>,
  ): Promise<void> {
    const server = tls.createServer({ ...certificate, allowHalfOpen: true }, onSocket);
    await withPair({}, async (pair) => {
      pair.server.on('stream', (stream) => server.emit('connection', stream));
      const socket = pair.client.openStream();
      await action(tls.connect({ socket, ca: certificate.cert, servername: 'roving.test' }));
    });
  }

  it('is authorized, and carries large data both ways at once', () =>
    withTls(
      (socket) => socket.pipe(socket),
      async (socket) => {
        await once(socket, 'secureConnect');
        expect([socket.authorized, socket.getProtocol()]).toEqual([true, 'TLSv1.3']);
        const body = Buffer.from(new TestPrng(1).bytes(2_000_000));
        socket.end(body);
        expect((await buffer(socket)).equals(body)).toBe(true);
      },
    ));

  it('is told when the other end is destroyed', () =>
    withTls(
      (socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.destroy());
      },
      async (socket) => {
        socket.on('error', () => undefined);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.resume().write('.');
        await closed;
        await turns(5);
        expect(socket.destroyed).toBe(true);
      },
    ));
});
