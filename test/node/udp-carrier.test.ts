import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { CarrierError } from '../../src/core/index.js';
import { formatAddress, parseAddress } from '../../src/node/addresses.js';
import type { Carrier, CarrierSink } from '../../src/node/carriers/carrier.js';
import {
  bindDatagramSocket,
  type DatagramSink,
  MAX_RECEIVE_ERRORS,
  MAX_SEND_QUEUE_BYTES,
  NodeDatagramSocket,
} from '../../src/node/carriers/datagram-socket.js';
import { bindUdp, openUdp, UdpCarrier } from '../../src/node/carriers/udp.js';
import { carrierConformance } from '../conformance/carrier.js';
import { turns } from '../helpers/node-pair.js';

const carriers: Carrier[] = [];
const kept = <C extends Carrier>(carrier: C): C => {
  carriers.push(carrier);
  return carrier;
};
afterEach(() => {
  for (const carrier of carriers.splice(0)) carrier.close();
});

for (const host of ['127.0.0.1', '::1']) {
  carrierConformance(`udp at ${host}`, async () => {
    const b = kept(await bindUdp({ host }));
    const a = kept(await openUdp({ localAddress: host, remote: b.local }));
    return { a, b, addressOfA: a.local, addressOfB: b.local };
  });
}

/** Opens it, and writes down what comes and from where. */
function listen(carrier: Carrier) {
  const heard: { text: string; remote: string | undefined }[] = [];
  const closed: (Error | undefined)[] = [];
  const sink: CarrierSink = {
    onReceive: (bytes, remote) => heard.push({ text: Buffer.from(bytes).toString(), remote }),
    onWritable: () => undefined,
    onClosed: (error) => closed.push(error),
  };
  carrier.open(sink);
  return { heard, closed };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100_000 && !holds(); turn++) await turns(1);
  expect(holds()).toBe(true);
}

const portOf = (carrier: Carrier) => parseAddress(carrier.local)?.port ?? 0;
const text = (words: string) => [new Uint8Array(Buffer.from(words))];

describe('addresses', () => {
  it.each([
    ['10.0.0.1', 7600, '10.0.0.1:7600'],
    ['::ffff:10.0.0.1', 7600, '10.0.0.1:7600'],
    ['::FFFF:10.0.0.1', 1, '10.0.0.1:1'],
    ['::1', 65_535, '[::1]:65535'],
    ['fe80::1%lo', 1, '[fe80::1%lo]:1'],
    ['::ffff:0:1', 1, '[::ffff:0:1]:1'],
  ])('%s and %i are %s', (host, port, address) => {
    expect(formatAddress(host, port)).toBe(address);
    expect(formatAddress(parseAddress(address)?.host ?? '', port)).toBe(address);
  });

  it.each([
    '',
    ':1',
    '1.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:1x',
    '1.2.3.4: 1',
    '::1:80x',
    '::1:80',
    '[::1]',
    '[1.2.3.4]:1',
    '[::1:1',
  ])('%j is none', (address) => {
    expect(parseAddress(address)).toBeUndefined();
  });
});

describe('udp carriers', () => {
  it('one server port serves IPv4 and IPv6, and shows both as they are', async () => {
    const server = kept(await bindUdp());
    const { heard } = listen(server);
    for (const host of ['127.0.0.1', '::1']) {
      const remote = formatAddress(host, portOf(server));
      const client = kept(await openUdp({ localAddress: host, remote }));
      const answers = listen(client).heard;
      client.send(text(`from ${host}`), remote);
      await until(() => heard.some((one) => one.text === `from ${host}`));
      const source = heard.find((one) => one.text === `from ${host}`)?.remote;
      expect(source).toBe(client.local);
      server.send(text('back'), source);
      await until(() => answers.length === 1);
      expect(answers).toEqual([{ text: 'back', remote }]);
    }
  });

  it('a client hears a server that answers from another address', async () => {
    const server = kept(await bindUdp({ host: '127.0.0.1' }));
    const elsewhere = kept(await bindUdp({ host: '127.0.0.1' }));
    const client = kept(await openUdp({ remote: server.local, localAddress: '127.0.0.1' }));
    const { heard } = listen(client);
    listen(elsewhere);
    elsewhere.send(text('moved'), client.local);
    await until(() => heard.length === 1);
    expect(heard).toEqual([{ text: 'moved', remote: elsewhere.local }]);
  });

  it('T22 a port where nobody listens (ICMP) costs nothing', async () => {
    const gone = await bindUdp({ host: '127.0.0.1' });
    gone.close();
    await turns(5);
    const client = kept(await openUdp({ remote: gone.local, localAddress: '127.0.0.1' }));
    const { heard, closed } = listen(client);
    for (let i = 0; i < 20; i++) {
      client.send(text('anyone?'), gone.local);
      await turns(3);
    }
    const back = kept(await bindUdp({ host: '127.0.0.1', port: portOf(gone) }));
    const there = listen(back).heard;
    client.send(text('again'), back.local);
    await until(() => there.length > 0);
    back.send(text('yes'), there[0]?.remote);
    await until(() => heard.length === 1);
    expect(closed).toEqual([]);
  });

  it('what cannot be sent is lost, counted, and never thrown', async () => {
    const carrier = kept(await bindUdp({ host: '127.0.0.1' }));
    const { closed } = listen(carrier);
    const unsent: [string, Uint8Array[], string][] = [
      ['not an address', text('x'), 'example.org'],
      ['port 0', text('x'), '127.0.0.1:0'],
      ['IPv6 from an IPv4 socket', text('x'), '[::1]:9'],
      ['a name', text('x'), 'example.org:9'],
      ['too long in one', [new Uint8Array(70_000)], '127.0.0.1:9'],
      ['too long in pieces', [new Uint8Array(40_000), new Uint8Array(40_000)], '127.0.0.1:9'],
      ['longer than IP takes', [new Uint8Array(65_530), new Uint8Array(1)], '127.0.0.1:9'],
      ['no route from loopback', text('x'), '192.0.2.1:9'],
    ];
    for (const [index, [what, chunks, remote]] of unsent.entries()) {
      carrier.send(chunks, remote);
      await turns(2);
      expect(carrier.statistics.unsentCount, what).toBe(index + 1);
    }
    expect(carrier.statistics.lastErrorCode).toMatch(/^E[A-Z]+$/);
    expect(closed).toEqual([]);
  });

  it('a port in use is an error with a reason', async () => {
    const first = kept(await bindUdp({ host: '127.0.0.1' }));
    const second = bindUdp({ host: '127.0.0.1', port: portOf(first) });
    await expect(second).rejects.toBeInstanceOf(CarrierError);
    await expect(second).rejects.toThrow(/EADDRINUSE/);
    await expect(second).rejects.toHaveProperty('cause.code', 'EADDRINUSE');
    await expect(openUdp({ remote: 'nowhere' })).rejects.toBeInstanceOf(CarrierError);
  });

  it('closes after what was sent has left', async () => {
    const server = kept(await bindUdp({ host: '127.0.0.1' }));
    const { heard } = listen(server);
    const client = await openUdp({ remote: server.local, localAddress: '127.0.0.1' });
    client.send(text('last words'), server.local);
    client.close();
    await until(() => heard.length === 1);
  });

  it('asks for larger buffers than the default, and tells what it got', async () => {
    const plain = createSocket('udp4').bind(0, '127.0.0.1');
    await once(plain, 'listening');
    const before = plain.getRecvBufferSize();
    plain.close();
    const carrier = kept(await bindUdp({ host: '127.0.0.1' }));
    expect(carrier.statistics.receiveBufferBytes).toBeGreaterThanOrEqual(before);
  });
});

/** A socket of Node's of which the kernel takes nothing, or that fails when it reads. */
async function withStub(action: (bed: StubBed) => Promise<void>): Promise<void> {
  const inner = createSocket('udp4').bind(0, '127.0.0.1');
  await once(inner, 'listening');
  let queuedBytes = 0;
  const queued: Uint8Array[] = [];
  inner.getSendQueueSize = () => queuedBytes;
  inner.getSendQueueCount = () => queued.length;
  inner.send = (bytes: unknown) => {
    queued.push(bytes as Uint8Array);
    queuedBytes += (bytes as Uint8Array).length;
  };
  const failures: Error[] = [];
  const heard: string[] = [];
  const socket = new NodeDatagramSocket(inner, 'udp4');
  const sink: DatagramSink = {
    onDatagram: (_bytes, remote) => heard.push(remote),
    onFailed: (error) => failures.push(error),
  };
  socket.open(sink);
  try {
    await action({ inner, socket, queued, failures, heard });
  } finally {
    queued.length = 0;
    socket.close();
  }
}

interface StubBed {
  inner: ReturnType<typeof createSocket>;
  socket: NodeDatagramSocket;
  queued: Uint8Array[];
  failures: Error[];
  heard: string[];
}

describe('a datagram socket in trouble', () => {
  it('holds no more than its bound while the kernel takes nothing', () =>
    withStub(async ({ socket, queued }) => {
      const chunks = [new Uint8Array(1_000), new Uint8Array(200)];
      for (let i = 0; i < 2_000; i++) socket.send(chunks, '127.0.0.1:9');
      const heldBytes = queued.reduce((sum, one) => sum + one.length, 0);
      expect(heldBytes).toBeLessThanOrEqual(MAX_SEND_QUEUE_BYTES + 1_200);
      expect(socket.statistics.unsentCount).toBe(2_000 - queued.length);
      expect(socket.statistics.lastErrorCode).toBe('ENOBUFS');
      // What waits keeps its own memory.
      expect(new Set(queued.map((one) => one.buffer)).size).toBe(queued.length);
    }));

  it('is broken after so many failures to read, and not before', () =>
    withStub(async ({ inner, failures }) => {
      const refused = Object.assign(new Error('recvmsg ECONNREFUSED'), { code: 'ECONNREFUSED' });
      const source = { address: '127.0.0.1', family: 'IPv4' as const, port: 9, size: 1 };
      for (let i = 1; i < MAX_RECEIVE_ERRORS; i++) inner.emit('error', refused);
      inner.emit('message', Buffer.from('x'), source);
      for (let i = 1; i < MAX_RECEIVE_ERRORS; i++) inner.emit('error', refused);
      expect(failures).toEqual([]);
      inner.emit('error', refused);
      inner.emit('error', refused);
      expect(failures.map((error) => error instanceof CarrierError)).toEqual([true]);
    }));

  it('does not hear what comes from port 0, which nobody could answer', () =>
    withStub(async ({ inner, heard }) => {
      for (const port of [0, 9]) {
        const source = { address: '::ffff:127.0.0.1', family: 'IPv6' as const, port, size: 1 };
        inner.emit('message', Buffer.from('x'), source);
      }
      expect(heard).toEqual(['127.0.0.1:9']);
    }));

  it('is opened once', async () => {
    const socket = await bindDatagramSocket({ host: '127.0.0.1', type: 'udp4' });
    const sink = { onDatagram: () => undefined, onFailed: () => undefined };
    socket.open(sink);
    expect(() => socket.open(sink)).toThrow('opened once');
    socket.close();
    expect(new UdpCarrier(socket).local).toBe(socket.local);
  });
});
