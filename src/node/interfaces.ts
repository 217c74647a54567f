/**
 * The machine's own addresses, and how they come and go. Node has no event for that: they are
 * looked at twice a second, which costs less than a tenth of a millisecond.
 *
 * @module
 */

import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** How soon a change is noticed, at most. */
export const INTERFACE_POLL_MS = 500;
/** The share of the time that looking may take: on a machine that is busy with it a look can be slow. */
const MAX_POLL_SHARE = 0.005;
/** A timer that is this much late tells that the machine slept, or the process was stopped. */
export const SLEEP_MS = 3_000;

export interface LocalAddress {
  readonly address: string;
  readonly family: 4 | 6;
  readonly interface: string;
  readonly isLoopback: boolean;
}

let lastFound: readonly LocalAddress[] = [];

/**
 * Those that a socket can be bound to without more ado: no link-local ones, which need a scope. While
 * the system does not tell, since there are no descriptors left for example, those that it told last.
 *
 * @param ask the system.
 */
export function localAddresses(ask = networkInterfaces): LocalAddress[] {
  try {
    lastFound = addressesOf(ask());
  } catch {
    // What was found last is the best guess.
  }
  return [...lastFound];
}

function addressesOf(interfaces: ReturnType<typeof networkInterfaces>): LocalAddress[] {
  const found: LocalAddress[] = [];
  for (const [name, addresses = []] of Object.entries(interfaces)) {
    for (const { address, family, internal } of addresses) {
      if (isLinkLocal(address)) continue;
      const number = family === 'IPv6' ? 6 : 4;
      found.push({ address, family: number, interface: name, isLoopback: internal });
    }
  }
  return found;
}

/** `fe80::/10` and `169.254.0.0/16`. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address) || address.startsWith('169.254.');
}

/** `::1` and `127.0.0.0/8`. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Any port will do: a UDP socket sends nothing to connect. */
const ANY_PORT = 9;

/** From where the system itself sends to an address; `undefined` if there is no way. */
export function usualLocalAddress(remote: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(remote) === 6 ? 'udp6' : 'udp4');
    const settle = (address?: string): void => {
      socket.removeAllListeners('error').on('error', () => undefined);
      socket.close();
      resolve(address);
    };
    socket.once('error', () => settle());
    // Node's types do not tell that a failure is told here, too.
    socket.connect(ANY_PORT, remote, (error?: Error | null) => {
      settle(error === undefined || error === null ? socket.address().address : undefined);
    });
  });
}

export interface InterfaceChange {
  /** The machine has slept: what is connected may be dead although no address has changed. */
  readonly hasSlept: boolean;
}

type OnChange = (change: InterfaceChange) => void;

/** Calls back when addresses have come or gone, or the machine has slept. Keeps no process alive. */
export class InterfaceWatch {
  readonly #onChange: OnChange;

  constructor(onChange: OnChange) {
    this.#onChange = onChange;
    watcher.add(onChange);
  }

  close(): void {
    watcher.delete(this.#onChange);
  }
}

/** Looks once for all watches of the process, and less often where a look takes long. */
class Watcher {
  readonly #listeners = new Set<OnChange>();
  #timer: NodeJS.Timeout | undefined;
  #known = '';
  #lookedAt = bothClocks();
  #pauseMs = INTERFACE_POLL_MS;

  add(listener: OnChange): void {
    this.#listeners.add(listener);
    if (this.#timer !== undefined) return;
    this.#known = fingerprint();
    this.#lookedAt = bothClocks();
    this.#wait(INTERFACE_POLL_MS);
  }

  delete(listener: OnChange): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(pauseMs: number): void {
    this.#pauseMs = pauseMs;
    this.#timer = setTimeout(() => this.#look(), pauseMs);
    this.#timer.unref();
  }

  #look(): void {
    const now = bothClocks();
    const { monotonic, wall } = this.#lookedAt;
    const passedMs = Math.max(now.monotonic - monotonic, now.wall - wall);
    const hasSlept = passedMs > this.#pauseMs + SLEEP_MS;
    this.#lookedAt = now;
    const found = fingerprint();
    const hasChanged = found !== this.#known;
    this.#known = found;
    const costMs = performance.now() - now.monotonic;
    this.#wait(Math.max(INTERFACE_POLL_MS, costMs / MAX_POLL_SHARE));
    if (!hasChanged && !hasSlept) return;
    for (const listener of [...this.#listeners]) listener({ hasSlept });
  }
}

/** On Linux the monotonic clock stands still while the machine sleeps. */
function bothClocks(): { readonly monotonic: number; readonly wall: number } {
  return { monotonic: performance.now(), wall: Date.now() };
}

function fingerprint(): string {
  return localAddresses()
    .map(({ address, interface: name }) => `${name} ${address}`)
    .sort()
    .join();
}

const watcher = new Watcher();
