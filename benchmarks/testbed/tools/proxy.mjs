/**
 * The smallest HTTP proxy: CONNECT and nothing else.
 *
 *     node proxy.mjs HOST PORT
 */

import { createServer } from 'node:http';
import { connect } from 'node:net';

const [host, port] = process.argv.slice(2);

const server = createServer((_request, response) => response.writeHead(405).end());
server.on('connect', (request, client, head) => {
  const [name = '', target = ''] = (request.url ?? '').split(':');
  const upstream = connect({ host: name, port: Number(target) }, () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    upstream.pipe(client).pipe(upstream);
  });
  upstream.on('error', () => client.destroy());
  client.on('error', () => upstream.destroy());
});
server.listen(Number(port), host, () => console.log('listening'));
