/**
 * What the verbs of a client have in common: the ticket, the session and its end, logs and traces.
 *
 * @module
 */

import { once } from 'node:events';
import type { Logger } from '@logtape/logtape';
import {
  type ConnectOptions,
  connect,
  pathsOf,
  type RovingSession,
  type SessionOptions,
  type Ticket,
  UsageError,
} from '../node/index.js';
import { parseDuration } from './arguments.js';
import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';
import { formatCount } from './format.js';
import { configureLog, logger } from './log.js';
import type { ClientOptionValues, SessionOptionValues } from './program-options.js';
import { hasTerminal, redialOnHangup, stopOnHangup, stopSignal } from './signals.js';
import { noteSession } from './status-report.js';
import { readTicket } from './ticket-source.js';
import { Trace } from './trace.js';

/** How long the end of a session may take to reach the server. */
const CLOSE_TIMEOUT_MS = 2_000;
/** What ssh said last, before it hung up, has this long to go on its way. */
const HANGUP_DRAIN_MS = 200;
/** A server that stops resets its streams first: the reason comes right behind that. */
const REASON_TIMEOUT_MS = 500;

/** A client that is ready to connect. */
export class Client {
  readonly log: Logger;
  readonly signal: AbortSignal = stopSignal();
  readonly ticket: Ticket;
  /** As the arguments gave them. */
  readonly options: ConnectOptions;
  readonly #trace: Trace | undefined;
  readonly #sessions = new Set<RovingSession>();
  #ending: Error | undefined;
  #isClosing = false;

  private constructor(
    log: Logger,
    ticket: Ticket,
    options: ConnectOptions,
    trace: Trace | undefined,
  ) {
    this.log = log;
    this.ticket = ticket;
    this.options = options;
    this.#trace = trace;
  }

  /** @throws CliError for arguments, the ticket, or the trace. */
  static async open(verb: string, values: ClientOptionValues): Promise<Client> {
    configureLog({ level: values.logLevel, json: values.json === true });
    // Ssh ends its ProxyCommand by SIGHUP, whether there is a terminal or not.
    const isForSsh = verb === 'connect';
    const stopsOnHangup = isForSsh || hasTerminal();
    if (stopsOnHangup) stopOnHangup(isForSsh ? HANGUP_DRAIN_MS : 0);
    // Arguments first: whoever has to type a ticket in must not find out about them afterwards.
    const options = connectOptions(values);
    const ticket = await readTicket(values.ticket);
    const trace = values.trace === undefined ? undefined : await Trace.open(values.trace, 'client');
    const client = new Client(logger(verb), ticket, options, trace);
    if (!stopsOnHangup) redialOnHangup(() => client.redial());
    return client;
  }

  /** The sessions that are open. */
  get sessions(): ReadonlySet<RovingSession> {
    return this.#sessions;
  }

  /**
   * Connects, and logs and traces what becomes of the session.
   *
   * @throws CliError with what can be done about it.
   */
  async connect(extra: ConnectOptions = {}): Promise<RovingSession> {
    const { signal } = this;
    signal.throwIfAborted();
    let session: RovingSession;
    try {
      session = await connect(this.ticket, { ...this.options, ...extra, signal });
    } catch (error) {
      this.#trace?.write('session:failed', { error });
      throw asUsage(error);
    }
    this.#ending = undefined;
    this.#sessions.add(session);
    noteSession(session);
    this.#trace?.follow(session);
    const { log } = this;
    log.info('connected: {paths} so far', { paths: formatCount(session.paths.length, 'path') });
    session.on('path', ({ pathId, state, reason, local }) => {
      log.info('path {pathId} ({local}) is {state}: {reason}', { pathId, local, state, reason });
    });
    session.once('close', (error) => {
      // One that was dropped has not ended of itself.
      const isHeld = this.#sessions.delete(session);
      if (isHeld && !this.#isClosing) this.#ending = error ?? closedByServer();
      if (error === undefined) log.info('the session is closed');
      else log.info('the session has ended: {error}', { error });
    });
    return session;
  }

  /** What ended the last session, if it has ended and that was not asked for here. */
  get ending(): Error | undefined {
    return this.#ending;
  }

  /** What has ended a session, or is about to: its streams fail a little earlier. */
  async endOf(session: RovingSession): Promise<Error | undefined> {
    if (this.#sessions.has(session)) await within(REASON_TIMEOUT_MS, once(session, 'close'));
    return this.#sessions.has(session) ? undefined : this.#ending;
  }

  /** Ends a session that is of no use any more. */
  drop(session: RovingSession): void {
    this.#sessions.delete(session);
    if (!session.isClosed) session.abort(0, 'the client goes on with another session');
  }

  /** What lies behind the failure of a stream, or an answer cut off, if the session ends as well. */
  async reasonBehind(error: unknown): Promise<unknown> {
    const { code = '' } = error as NodeJS.ErrnoException;
    const isOfStream = code.startsWith('ERR_STREAM_') || code === 'ERR_SERVICE_MESSAGE';
    if (this.#ending === undefined && isOfStream) {
      const ends = [...this.#sessions].map((session) => once(session, 'close'));
      await within(REASON_TIMEOUT_MS, Promise.race(ends));
    }
    return this.#ending ?? error;
  }

  /** Dials everything again at once, as after a change that the system did not tell of. */
  redial(): void {
    for (const session of this.#sessions) pathsOf(session)?.redial();
  }

  /** Ends the sessions, in good order if that takes no time to speak of, and the trace. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#sessions].map(closeSession));
    await this.#trace?.close();
  }
}

/** Runs an action with a client, and closes it whatever happens. */
export async function withClient<T>(
  verb: string,
  values: ClientOptionValues,
  action: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await Client.open(verb, values);
  try {
    return await action(client);
  } catch (error) {
    // What a signal has stopped, or what used a session that is gone, may fail in many ways.
    if (client.signal.aborted) throw client.signal.reason;
    throw error instanceof CliError ? error : await client.reasonBehind(error);
  } finally {
    await client.close();
  }
}

/** Waits, but no longer than this. */
async function within(timeoutMs: number, something: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([something, late]);
  clearTimeout(timer);
}

async function closeSession(session: RovingSession): Promise<void> {
  await within(
    CLOSE_TIMEOUT_MS,
    session.close().catch(() => undefined),
  );
  if (session.isClosed) return;
  session.abort(0, 'the program has ended');
  // It goes out before the process ends.
  await new Promise((resolve) => setImmediate(resolve));
}

export function sessionOptions({ scheduler }: SessionOptionValues): Partial<SessionOptions> {
  return scheduler === undefined ? {} : { scheduler };
}

function connectOptions(values: ClientOptionValues): ConnectOptions {
  const { carrier, path, via, connectTimeout } = values;
  return {
    ...sessionOptions(values),
    connectTimeoutMs: parseDuration(connectTimeout, '--connect-timeout'),
    ...(carrier === undefined ? {} : { carriers: [...new Set(carrier)] }),
    ...(path === undefined ? {} : { paths: path }),
    ...(via === undefined ? {} : { via: checkProxy(via) }),
  };
}

function checkProxy(via: string): string {
  const url = URL.canParse(via) ? new URL(via) : undefined;
  const protocol = url?.protocol ?? '';
  if (url !== undefined && url.password !== '') {
    throw new CliError(
      EXIT.USAGE,
      'a password in --via can be read by every user of this machine: give the proxy in ALL_PROXY',
      'ERR_USAGE',
    );
  }
  if (/^(https?|socks[45]?[ah]?):$/.test(protocol)) return via;
  throw new CliError(
    EXIT.USAGE,
    '--via wants a proxy such as http://HOST:PORT or socks5://HOST:PORT',
    'ERR_USAGE',
  );
}

function closedByServer(): CliError {
  const message = 'the server has closed the session: it was stopped, or is being restarted';
  return new CliError(EXIT.UNAVAILABLE, message, 'ERR_CLOSED_BY_PEER');
}

/** What is wrong with a ticket's addresses is no wrong use of the command. */
function asUsage(error: unknown): unknown {
  if (!(error instanceof UsageError) || !/ticket/.test(error.message)) return error;
  return new CliError(EXIT.DATA, error.message, 'ERR_TICKET');
}
