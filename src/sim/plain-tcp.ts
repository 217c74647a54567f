/**
 * A plain TCP connection that sends as fast as it may, as any download does: the company in which
 * our paths have to behave.
 *
 * @module
 */

import type { LinkHops, Machine } from './network.js';
import type { LinkPair } from './presets.js';
import { connectTcp, type TcpConnection, TcpListener, type TcpOptions } from './tcp.js';
import type { World } from './world.js';

const CHUNK = new Uint8Array(65_536).map((_, i) => i * 7);
const FIRST_PORT = 8_400;

export interface PlainTcpSpec {
  /** Of the client machine and of its path. */
  readonly name: string;
  readonly server: Machine;
  readonly link: LinkPair;
  readonly shared?: readonly LinkHops[];
  readonly tcp?: TcpOptions;
}

/** Begins with the construction, and goes on until the world ends. */
export class PlainTcpFlow {
  receivedBytes = 0;
  readonly connection: TcpConnection;

  constructor(world: World, spec: PlainTcpSpec) {
    const { name, server, link, shared = [] } = spec;
    const client = world.machine(name);
    const path = world.path({ name, client, server, ...link, shared });
    const port = FIRST_PORT + path.index;
    const reader = {
      onOpen: (): void => {},
      onData: (bytes: Uint8Array): void => {
        this.receivedBytes += bytes.length;
      },
      onSpace: (): void => {},
      onClosed: (): void => {},
    };
    new TcpListener(server, { port }, () => reader, spec.tcp);
    const fill = (): void => {
      for (let room = connection.sendSpace; room > 0; room = connection.sendSpace) {
        connection.send([CHUNK.subarray(0, Math.min(room, CHUNK.length))]);
      }
    };
    const writer = {
      onOpen: fill,
      onData: (): void => {},
      onSpace: fill,
      onClosed: (): void => {},
    };
    const connection = connectTcp(client, `${path.serverAddress}:${port}`, writer, spec.tcp);
    this.connection = connection;
  }
}
