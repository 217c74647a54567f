/**
 * A handshake that takes no time on a clock of whole milliseconds gave the client a round trip of
 * 0 ms, from which no rate can be told.
 */
import { expect, it } from 'vitest';
import type { CarrierInfo, Instant } from '../../src/core/index.js';
import { Endpoint } from '../../src/core/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { SERVER_ADDRESS, ServerBench } from '../helpers/bench.js';

const HERE = '10.0.0.2:1';

it('a handshake that takes no time counts as a millisecond', () => {
  const server = new ServerBench();
  let seed = 1;
  const random = (length: number) => new Uint8Array(length).fill(seed++);
  const client = new Endpoint({ crypto: nodeCrypto, random });
  const now = server.now as Instant;
  const info: CarrierInfo = { name: 'memory', kind: 'datagram', local: HERE };
  const carrierId = client.carrierOpened(info, now);
  const session = client.connect(server.ticket, {}, now);
  client.openPath(session, carrierId, SERVER_ADDRESS, now);
  const hello = client.nextTransmit(now);
  server.deliver(server.udp, Buffer.concat(hello?.chunks ?? []), HERE);
  for (const { bytes } of server.sent) client.receive(carrierId, bytes, now, SERVER_ADDRESS);
  expect(session.lifecycle).toBe('established');
  expect(session.paths().map(({ statistics }) => statistics.smoothedRttMs)).toEqual([1]);
});
