/**
 * The ways that could lead to a server: each local address to each address of the server by each
 * carrier. Which of them carry data is the path manager's and the scheduler's choice.
 *
 * @module
 */

import { isIP } from 'node:net';
import { isLoopback, type LocalAddress } from './interfaces.js';
import { proxyHost, redactProxy } from './proxy.js';
import type { ResolvedAddress, ServerAddress } from './server-address.js';

/** The carriers of real networks. */
export type RouteCarrier = 'udp' | 'tcp' | 'ws';
export const ROUTE_CARRIERS: readonly RouteCarrier[] = ['udp', 'tcp', 'ws'];

/** One way that could be a path. */
export interface Route {
  readonly carrier: RouteCarrier;
  /** Where the socket is bound; `undefined`: wherever the system likes. */
  readonly local: string | undefined;
  /** The server's address; of a WebSocket, or through a proxy, its name. */
  readonly host: string;
  readonly port: number;
  /** WebSocket: the whole address. */
  readonly url?: string;
  /** The proxy that it leads through. */
  readonly via?: string;
  /** Where an unbound socket comes from at present. */
  readonly near?: string;
  /** One more connection beside another of the same ends: 1 and up. */
  readonly index?: number;
}

export interface RouteQuestion {
  readonly servers: readonly {
    readonly server: ServerAddress;
    readonly resolved: readonly ResolvedAddress[];
  }[];
  readonly locals: readonly LocalAddress[];
  readonly carriers: readonly RouteCarrier[];
  /** The local address from which the system itself would send to an address of the server. */
  readonly usualLocal?: (remote: string) => string | undefined;
  /** Local addresses or names of interfaces; `undefined`: all. */
  readonly paths: readonly string[] | undefined;
  /** The proxies of a server address: all routes lead through `only`, or some more do. */
  readonly proxyFor: (server: ServerAddress) => { readonly url: string; readonly isOnly: boolean };
}

/** Identifies a route as long as nothing about it changes. */
export function routeKey(route: Route): string {
  const { carrier, local = '*', host, port, url, via, index } = route;
  const beside = index === undefined ? '' : `#${index}`;
  return `${carrier} ${local} ${url ?? `${host} ${port}`} ${via ?? ''}${beside}`;
}

/** For reports and messages: the same route without the credentials of its proxy. */
export function shownRoute(route: Route): Route {
  return route.via === undefined ? route : { ...route, via: redactProxy(route.via) };
}

/**
 * How much a route is wanted, 0 best: what is direct carries data, a WebSocket does where nothing
 * direct is healthy, and a proxy is the last resort. Among equals the scheduler chooses.
 */
export function routeRank({ carrier, via }: Route): number {
  return (carrier === 'ws' ? 1 : 0) + (via === undefined ? 0 : 2);
}

/** All routes, best first. */
export function planRoutes(question: RouteQuestion): Route[] {
  const routes = new Map<string, Route>();
  const add = (route: Route): void => {
    if (question.carriers.includes(route.carrier)) routes.set(routeKey(route), route);
  };
  const locals = selectLocals(question);
  for (const { server, resolved } of question.servers) {
    const proxy = question.proxyFor(server);
    if (proxy.url !== '' && (proxy.isOnly || question.paths === undefined)) {
      for (const local of proxyLocals(proxy.url, locals, question)) {
        const { host, port } = server;
        const carrier = server.kind === 'url' ? 'ws' : 'tcp';
        const url = server.kind === 'url' ? { url: server.url } : {};
        add({ carrier, local, host, port, ...url, via: proxy.url });
      }
    }
    if (!proxy.isOnly) addDirect(server, resolved, locals, question, add);
  }
  return [...routes.values()].sort((a, b) => routeRank(a) - routeRank(b));
}

/**
 * The first `max` of the routes in an order that takes one of each kind in turn: a machine with many
 * addresses tries all servers and carriers all the same.
 *
 * @param turn which part of that order, where there are more: 0 the first.
 */
export function pickRoutes(routes: readonly Route[], max: number, turn = 0): Route[] {
  const kinds = new Map<string, Route[]>();
  for (const route of routes) {
    const { carrier, via = '', url, host, port } = route;
    const kind = `${carrier} ${via} ${url ?? `${host} ${port}`}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), route]);
  }
  const mixed: Route[] = [];
  for (let index = 0; mixed.length < routes.length; index++) {
    for (const kind of kinds.values()) mixed.push(...kind.slice(index, index + 1));
  }
  if (mixed.length <= max) return mixed;
  const start = (turn * max) % mixed.length;
  return [...mixed.slice(start), ...mixed.slice(0, start)].slice(0, max);
}

function addDirect(
  server: ServerAddress,
  resolved: readonly ResolvedAddress[],
  locals: readonly LocalAddress[],
  { paths, usualLocal }: RouteQuestion,
  add: (route: Route) => void,
): void {
  const { port } = server;
  for (const remote of resolved) {
    const reaching = locals.filter((one) => canReach(one, remote)).map((one) => one.address);
    const usual = paths === undefined ? usualLocal?.(remote.address) : undefined;
    reaching.sort((a, b) => Number(b === usual) - Number(a === usual));
    for (const local of reaching.length === 0 && paths === undefined ? [undefined] : reaching) {
      if (server.kind === 'url') {
        // TLS needs the name, so that the system resolves it once more.
        add({ carrier: 'ws', local, host: server.host, port, url: server.url });
        continue;
      }
      const { address: host } = remote;
      // Unbound, it goes on from any address that the machine gets, without being told.
      if (local !== undefined && local === usual) {
        add({ carrier: 'udp', local: undefined, near: local, host, port });
      } else add({ carrier: 'udp', local, host, port });
      add({ carrier: 'tcp', local, host, port });
    }
  }
}

/** From where a proxy is dialled: the system's choice, unless paths were asked for. */
function proxyLocals(
  proxy: string,
  locals: readonly LocalAddress[],
  { paths }: RouteQuestion,
): readonly (string | undefined)[] {
  if (paths === undefined) return [undefined];
  const address = proxyHost(proxy);
  const family = isIP(address);
  // What the name of a proxy resolves to is the dialler's affair.
  const reaching = locals.filter((one) => {
    return family === 0 || canReach(one, { address, family: family === 6 ? 6 : 4 });
  });
  return reaching.map((one) => one.address);
}

/** An address that was asked for by name is tried even if no interface has it yet. */
function selectLocals({ locals, paths }: RouteQuestion): LocalAddress[] {
  if (paths === undefined) return [...locals];
  const selected = new Map<string, LocalAddress>();
  for (const wanted of paths) {
    const family = isIP(wanted);
    if (family === 0) {
      for (const one of locals) if (one.interface === wanted) selected.set(one.address, one);
    } else {
      const isOwn = isLoopback(wanted);
      const unknown = { address: wanted, interface: '', isLoopback: isOwn } as const;
      const known = locals.find((one) => one.address === wanted);
      selected.set(wanted, known ?? { ...unknown, family: family === 6 ? 6 : 4 });
    }
  }
  return [...selected.values()];
}

/** Loopback leads to loopback only, and no family to the other. */
function canReach(local: LocalAddress, remote: ResolvedAddress): boolean {
  return local.family === remote.family && local.isLoopback === isLoopback(remote.address);
}
