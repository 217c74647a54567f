/** `roving forward`: ports and a proxy through a session, as ssh's `-L`, `-R` and `-D`. @module */

import { type RovingSession, readPrivateFile } from '../../node/index.js';
import {
  type Bind,
  DynamicForward,
  type ForwardSpec,
  formatHostPort,
  type HostPort,
  LocalForward,
  type ProxyLogin,
  parseBind,
  parseForwardSpec,
  RemoteForward,
  TunnelConnections,
} from '../../tunnel/index.js';
import { type Client, withClient } from '../client.js';
import { EXIT } from '../exit-codes.js';
import { CliError, failUsage } from '../failure.js';
import { LastingSession } from '../lasting-session.js';
import { LiveLines, pathLines, wantsLive } from '../live.js';
import { PathMeter } from '../meter.js';
import { announce } from '../output.js';
import type { ClientOptionValues } from '../program-options.js';
import { Interrupted } from '../signals.js';
import { offerStatus } from '../status-report.js';

const LIVE_INTERVAL_MS = 500;
/** A user and a password have at most 255 bytes each (RFC 1929 §2). */
const MAX_LOGIN_FILE_BYTES = 520;

export interface ForwardValues extends ClientOptionValues {
  readonly local?: readonly string[];
  readonly remote?: readonly string[];
  readonly dynamic?: readonly string[];
  readonly gatewayPorts?: boolean;
  readonly proxyLogin?: string;
}

/** What the arguments ask for. */
interface Plan {
  readonly local: readonly ForwardSpec[];
  readonly remote: readonly ForwardSpec[];
  readonly dynamic: readonly Bind[];
  readonly gatewayPorts: boolean;
}

export async function forwardVerb(values: ForwardValues): Promise<void> {
  const plan = readPlan(values);
  const login = await readLogin(values.proxyLogin);
  await withClient('forward', values, async (client) => {
    const forwards = new Forwards(plan, login);
    const lasting = await LastingSession.open(client);
    try {
      await forwards.start(lasting, client);
      const stopStatus = await offerStatus(
        {
          verb: 'forward',
          sessions: () => client.sessions,
          forwards: () => forwards.lines,
          connections: () => forwards.connections.list(),
        },
        client.log,
      );
      announce(`ready ${forwards.lines.join(', ')}`);
      const stopLive = wantsLive(values) ? showLive(client, forwards) : () => undefined;
      try {
        await lasting.ended;
      } finally {
        stopLive();
        stopStatus();
      }
    } finally {
      lasting.stop();
      forwards.close();
    }
  }).catch((error: unknown) => {
    // It runs until it is stopped: that is its clean end.
    if (!(error instanceof Interrupted && error.signalName === 'SIGTERM')) throw error;
  });
}

/** @throws UsageError that says what is wrong with one of them. */
function readPlan({ local = [], remote = [], dynamic = [], gatewayPorts }: ForwardValues): Plan {
  if (local.length + remote.length + dynamic.length === 0) {
    return failUsage('nothing to forward: give -L, -R or -D');
  }
  return {
    local: local.map(parseForwardSpec),
    remote: remote.map(parseForwardSpec),
    dynamic: dynamic.map(parseBind),
    gatewayPorts: gatewayPorts === true,
  };
}

/** @throws PrivateFileError if others could read it; CliError if it holds no login. */
async function readLogin(path: string | undefined): Promise<ProxyLogin | undefined> {
  if (path === undefined) return undefined;
  const text = await readPrivateFile(path, MAX_LOGIN_FILE_BYTES);
  const [, user, password] = /^([^:\r\n]+):([^\r\n]*)\r?\n?$/.exec(text) ?? [];
  if (user !== undefined && password !== undefined) return { user, password };
  throw new CliError(EXIT.CONFIG, `${path} holds no login: one line, user:password`, 'ERR_LOGIN');
}

/** All that is forwarded. Each follows the session as it is made anew. */
class Forwards {
  readonly connections = new TunnelConnections();
  readonly #plan: Plan;
  readonly #login: ProxyLogin | undefined;
  readonly #open: { close(): void }[] = [];
  readonly #lines: string[] = [];

  constructor(plan: Plan, login: ProxyLogin | undefined) {
    this.#plan = plan;
    this.#login = login;
  }

  /** One for each, such as `-L 127.0.0.1:8080 > localhost:80`. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** @throws what keeps any of them from beginning. */
  async start({ source }: LastingSession, client: Client): Promise<void> {
    const { connections } = this;
    const { gatewayPorts } = this.#plan;
    for (const { bind, target } of this.#plan.local) {
      const forward = new LocalForward(source, { bind, target, gatewayPorts, connections });
      this.#open.push(forward);
      this.#tell('-L', await forward.start(), target);
    }
    for (const bind of this.#plan.dynamic) {
      const login = this.#login === undefined ? {} : { login: this.#login };
      const forward = new DynamicForward(source, { bind, gatewayPorts, connections, ...login });
      this.#open.push(forward);
      this.#tell('-D', await forward.start());
    }
    for (const { bind, target } of this.#plan.remote) {
      const forward = new RemoteForward(source, { bind, target, connections });
      this.#open.push(forward);
      this.#log(forward, client);
      this.#tell('-R', await forward.start(), target);
    }
  }

  #log(forward: RemoteForward, { log }: Client): void {
    forward.on('listening', (address) => {
      log.info('the server listens on {address}', { address: formatHostPort(address) });
    });
    forward.on('lost', (error) => {
      log.warning('the server listens no more, it is asked again: {reason}', {
        reason: error?.message ?? 'it has stopped',
      });
    });
    forward.on('end', (error) => {
      if (error !== undefined) log.error('a remote forward is over: {error}', { error });
    });
  }

  #tell(option: string, address: HostPort, target?: HostPort): void {
    const where = target === undefined ? '' : ` > ${formatHostPort(target)}`;
    this.#lines.push(`${option} ${formatHostPort(address)}${where}`);
  }

  close(): void {
    for (const forward of this.#open) forward.close();
  }
}

/** @returns takes the lines away. */
function showLive(client: Client, forwards: Forwards): () => void {
  const live = new LiveLines();
  let followed: RovingSession | undefined;
  let meter: PathMeter | undefined;
  const timer = setInterval(() => {
    const [session] = client.sessions;
    if (session !== followed) meter = session && new PathMeter(session);
    followed = session;
    const { openCount, totalCount } = forwards.connections.counts;
    const state =
      session === undefined ? 'no session, connecting anew' : `${openCount} connections`;
    live.show([`${state}, ${totalCount} in all`, ...pathLines(meter?.look() ?? [])]);
  }, LIVE_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    live.close();
  };
}
