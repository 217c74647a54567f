/**
 * Roving's own tools in a bed, as a person would start them: a ticket, `roving serve` at the server,
 * `roving forward` or `roving connect` at the client.
 *
 * @module
 */

import { join } from 'node:path';
import { SERVER } from './programs.mjs';
import { CLI } from './requirements.mjs';

/** A program that is not ready by then never will be. */
const READY_MS = 20_000;

/**
 * @typedef {object} RovingOptions
 * @property {readonly string[]} [carriers] `tcp`, `udp`, `ws`; default: all
 * @property {readonly string[]} [paths] local addresses or devices; default: all
 * @property {readonly string[]} [addresses] of the server, in the ticket
 * @property {readonly string[]} [listen] addresses; default: all, on the default port
 * @property {Record<string, string>} [env] of the client
 */

export class Roving {
  /**
   * Makes a ticket and starts the server.
   *
   * @param {import('./bed.mjs').Bed} bed
   * @param {RovingOptions} [options]
   */
  static async serve(bed, options = {}) {
    const roving = new Roving(bed, options);
    const addresses = options.addresses ?? [`${SERVER}:7600`];
    await bed.run('server', [
      ...[process.execPath, CLI, 'ticket', 'new'],
      ...['--keys', roving.keys, '--out', roving.ticket, '--allow', 'forward', '--name', 'lab'],
      ...addresses.flatMap((address) => ['--address', address]),
    ]);
    const listen = (options.listen ?? []).flatMap((address) => ['--listen', address]);
    const serve = [process.execPath, CLI, 'serve', '--keys', roving.keys, ...listen];
    roving.server = bed.spawn('server', serve);
    await roving.server.line(/^ready/m, 'stderr', READY_MS);
    return roving;
  }

  /** @type {import('./processes.mjs').Program | undefined} */
  server;

  /**
   * @param {import('./bed.mjs').Bed} bed
   * @param {RovingOptions} options
   */
  constructor(bed, options) {
    this.bed = bed;
    this.options = options;
    this.keys = join(bed.folder, 'keys');
    this.ticket = join(bed.folder, 'ticket');
  }

  /** What each client tool is given. @param {RovingOptions} [more] */
  #clientOptions(more = {}) {
    const { carriers = [], paths = [] } = { ...this.options, ...more };
    return [
      ...['--ticket', this.ticket],
      ...carriers.flatMap((name) => ['--carrier', name]),
      ...paths.flatMap((name) => ['--path', name]),
    ];
  }

  /**
   * Starts `roving forward` at the client.
   *
   * @param {readonly string[]} forwards `port:host:port`
   * @param {RovingOptions} [more] options that differ from the server's start
   * @returns {Promise<import('./processes.mjs').Program>}
   */
  async forward(forwards, more = {}) {
    const locals = forwards.flatMap((forward) => ['-L', forward]);
    const command = [process.execPath, CLI, 'forward', ...this.#clientOptions(more), ...locals];
    const env = { ...this.options.env, ...more.env };
    const program = this.bed.spawn('client', command, { env });
    await program.line(/^ready/m, 'stderr', READY_MS);
    return program;
  }

  /** The value of ssh's option `ProxyCommand`. @param {RovingOptions} [more] */
  proxyCommand(more = {}) {
    const command = [process.execPath, CLI, 'connect', ...this.#clientOptions(more)];
    return [...command, '--to', '%h:%p'].join(' ');
  }
}

/** The words that name a choice of carriers in tables. */
const CARRIER_SETS = new Map([
  ['tcp', ['tcp']],
  ['udp', ['udp']],
  ['ws', ['ws']],
  ['all', []],
]);

/**
 * `tcp`, `udp`, `ws` or `all` as options of Roving; `tcp+udp` is both.
 *
 * @param {string} name
 * @returns {RovingOptions}
 */
export function carriersOf(name) {
  return { carriers: CARRIER_SETS.get(name) ?? name.split('+') };
}
