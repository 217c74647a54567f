/** `roving serve`: sessions for all who have a ticket. @module */

import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Logger } from '@logtape/logtape';
import { checkServerAddresses } from '../../core/index.js';
import {
  createServer,
  type ListenOptions,
  type RovingServer,
  type RovingSession,
} from '../../node/index.js';
import { takeInheritedSockets } from '../activation.js';
import { DEFAULT_PORT, parseHostPort, parseTicketAddress } from '../arguments.js';
import { sessionOptions } from '../client.js';
import { EXIT } from '../exit-codes.js';
import { CliError, failUsage } from '../failure.js';
import { formatCount } from '../format.js';
import { parseGrants } from '../grants.js';
import { configureLog, logger } from '../log.js';
import { announce } from '../output.js';
import type { SessionOptionValues } from '../program-options.js';
import { keysForFirstTry, keysFromFile, type ServeKeys } from '../serve-keys.js';
import { createServices, type ServerServices } from '../serve-services.js';
import { stopSignal, untilStopped } from '../signals.js';
import { noteSession, offerStatus } from '../status-report.js';
import { Trace } from '../trace.js';

export interface ServeValues extends SessionOptionValues {
  readonly keys?: string;
  readonly listen?: readonly string[];
  readonly advertise?: readonly string[];
  readonly advertiseOnly?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly allow?: readonly string[];
}

export async function serve(values: ServeValues): Promise<void> {
  configureLog({ level: values.logLevel, json: values.json === true });
  const log = logger('serve');
  const signal = stopSignal();
  const places = parsePlaces(values.listen);
  const tls = await readTls(values);
  const told = readAdvertised(values);
  const trace = values.trace === undefined ? undefined : await Trace.open(values.trace, 'server');
  let server: RovingServer | undefined;
  const keys = await openKeys(values, log, (keyId) => server?.revoke(keyId, true));
  server = createServer({ keys: keys.keyRing, session: sessionOptions(values) });
  const running = server;
  const services = createServices(running, log);
  const reload = (): void => {
    void keys.reload();
    renewTls(running, values, log);
  };
  process.on('SIGHUP', reload);
  try {
    running.on('session', (session) => accept(session, { log, services, trace, told }));
    running.on('error', (error) => log.error('an address failed: {error}', { error }));
    for (const place of places) await running.listen({ ...place, ...tls });
    await keys.listening(running.addresses);
    const stopStatus = await offerStatus(
      {
        verb: 'serve',
        sessions: () => running.sessions,
        listening: () => running.addresses,
        connections: () => services.connections(),
      },
      log,
    );
    announce(`ready ${describePlaces(running, places)}`);
    await untilStopped(signal);
    log.info('stopping: {count} to be told', {
      count: formatCount(running.sessions.size, 'session'),
    });
    stopStatus();
  } finally {
    process.off('SIGHUP', reload);
    keys.close();
    await running.close();
    await trace?.close();
  }
}

/** Such as `tcp+udp 0.0.0.0:7600`. */
function describePlaces({ addresses }: RovingServer, places: readonly ListenOptions[]): string {
  const texts = addresses.map((address, index) => {
    return `${places[index]?.inherited?.kind ?? 'tcp+udp'} ${address}`;
  });
  return texts.join(', ');
}

/** What systemd has opened is enough, unless more is asked for. */
function parsePlaces(texts: readonly string[] = []): ListenOptions[] {
  const inherited = takeInheritedSockets().map((socket) => ({ inherited: socket }));
  if (texts.length === 0 && inherited.length === 0) return [{ port: DEFAULT_PORT }];
  return [...inherited, ...parseListen(texts)];
}

function parseListen(texts: readonly string[]): ListenOptions[] {
  return texts.map((text) => {
    // `:7600` and `*:7600` mean all addresses.
    const { host, port } = parseHostPort(text.replace(/^\*?(?=:\d+$)/, '*'), {
      option: '--listen',
      defaultPort: DEFAULT_PORT,
      allowZero: true,
    });
    return { host, port };
  });
}

interface Advertised {
  readonly addresses: readonly string[];
  readonly avoidFirst: boolean;
}

function readAdvertised(values: ServeValues): Advertised | undefined {
  const { advertise, advertiseOnly = false } = values;
  if (advertise !== undefined) {
    const addresses = advertise.map((text) => parseTicketAddress(text, '--advertise'));
    // Now, and not when the first client comes.
    checkServerAddresses(addresses);
    return { addresses, avoidFirst: advertiseOnly };
  }
  return advertiseOnly ? failUsage('--advertise-only wants --advertise ADDRESS too') : undefined;
}

type TlsValues = Pick<ServeValues, 'tlsCert' | 'tlsKey'>;

/** @throws CliError if there is one without the other, or they are not what they should be; the system's error if it can't be read. */
async function readTls({ tlsCert, tlsKey }: TlsValues): Promise<Pick<ListenOptions, 'tls'>> {
  if (tlsCert === undefined && tlsKey === undefined) return {};
  if (tlsCert === undefined || tlsKey === undefined) {
    return failUsage('--tls-cert and --tls-key belong together');
  }
  const tls = { cert: await readFile(tlsCert), key: await readFile(tlsKey) };
  try {
    createSecureContext(tls);
  } catch (error) {
    const why = (error as Error).message;
    const message = `${tlsCert} and ${tlsKey} are no certificate in PEM and its key: ${why}`;
    throw new CliError(EXIT.CONFIG, message, 'ERR_TLS_FILES');
  }
  return { tls };
}

/** Certificates are renewed every few weeks: the new one holds for those who come from now on. */
function renewTls(server: RovingServer, values: TlsValues, log: Logger): void {
  readTls(values)
    .then(({ tls }) => {
      if (tls === undefined) return;
      server.setTls(tls);
      log.info('certificate read again');
    })
    .catch((error: Error) => log.error('the certificate stays as it was: {error}', { error }));
}

async function openKeys(
  values: ServeValues,
  log: Logger,
  onRevoked: (keyId: Uint8Array) => void,
): Promise<ServeKeys> {
  const { keys: path, allow } = values;
  if (path === undefined) {
    return keysForFirstTry(parseGrants(allow ?? []), (ticket) => announceFirstTry(ticket));
  }
  if (allow !== undefined) {
    return failUsage('--allow is for a first try without --keys; keys have theirs in the key file');
  }
  return keysFromFile(path, log, (key) => onRevoked(key.keyId));
}

function announceFirstTry(path: string): void {
  announce('no --keys: this server has one key, which is gone when it ends. To try it from here:');
  announce(`  roving bench --ticket ${path}`);
}

interface SessionParts {
  readonly log: Logger;
  readonly services: ServerServices;
  readonly trace: Trace | undefined;
  readonly told: Advertised | undefined;
}

function accept(session: RovingSession, { log, services, trace, told }: SessionParts): void {
  const { name = '?', grants = [] } = session.key ?? {};
  const from = session.paths[0]?.remote;
  noteSession(session);
  trace?.follow(session);
  services.host.attach(session, grants);
  if (told !== undefined) session.tellAddresses(told.addresses, told);
  log.info('session of key {key} from {from}', { key: name, from });
  session.on('path', ({ pathId, state, reason }) => {
    log.debug('session of key {key}: path {pathId} is {state}: {reason}', {
      key: name,
      pathId,
      state,
      reason,
    });
  });
  session.once('close', (error) => {
    if (error === undefined) log.info('session of key {key} is closed', { key: name });
    else log.info('session of key {key} has ended: {error}', { key: name, error });
  });
}
