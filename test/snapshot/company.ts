/** Our paths in company: in one bottleneck with plain TCP flows, as a client would use them. */

import type { PathId } from '../../src/core/index.js';
import { PathGroups } from '../../src/node/path-groups.js';
import { SAMPLE_INTERVAL_MS } from '../../src/node/path-manager.js';
import type { Route } from '../../src/node/routes.js';
import {
  Bed,
  type BedPathSpec,
  BulkSender,
  type LinkHops,
  PlainTcpFlow,
  Reader,
  symmetric,
  World,
} from '../../src/sim/index.js';
import type { LinkSpec } from './measure.js';

/** What is measured begins when everyone has found its place. */
const SETTLE_MS = 10_000;
const MEASURE_MS = 30_000;
/** Further TCP connections of one local address that the world has room for. */
const MAX_EXTRAS = 3;

export interface Company {
  /** What each local address has; the path groups choose among them where there is TCP. */
  readonly carriers: readonly ('tcp' | 'udp')[];
  readonly congestionControl?: 'bbr' | 'cubic';
  /** Local addresses. */
  readonly locals: number;
  /** One bottleneck for all, or one for each local address; with so many plain flows at each. */
  readonly bottlenecks: 'one' | 'each';
  /** 1 */
  readonly plainFlows?: number;
  readonly rttMs?: number;
  readonly queueMs?: number;
  /** Of the second address's access, in ms of round trip. */
  readonly extraMs?: number;
  readonly lossPercent?: number;
}

export interface CompanyOutcome {
  /** Of all that was carried, in percent. */
  readonly plainShare: number;
  readonly totalMbps: number;
  /** Of the paths, at the end. */
  readonly flowShares: readonly number[];
  /** The most paths that carried data at a time. */
  readonly mostInUse: number;
}

/** A session that is full of data beside plain TCP flows. */
export function compete(company: Company): CompanyOutcome {
  const { rttMs = 20, queueMs = 50, lossPercent = 0, plainFlows = 1 } = company;
  const world = new World({ seed: 'company' });
  const core = (index: number): LinkHops => {
    const loss = lossPercent / 100;
    return world.sharedLink(`core${index}`, symmetric({ rateMbps: 50, rttMs, queueMs, loss }));
  };
  const cores = Array.from({ length: company.bottlenecks === 'one' ? 1 : company.locals }, (_, i) =>
    core(i),
  );
  const bed = bedOf(company, world, cores);
  const groups = company.carriers.includes('tcp')
    ? manage(bed, { redials: false })
    : { mostInUse: 0 };
  world.run({ forMs: 200 });
  const reader = new Reader(bed.server);
  new BulkSender(bed.client);
  const server = world.machine('server');
  const link = symmetric({ rateMbps: 1000, rttMs: 0.2 });
  const flows = cores.flatMap((shared, index) =>
    Array.from({ length: plainFlows }, (_, more) => {
      const name = `plain${index}-${more}`;
      return new PlainTcpFlow(world, { name, server, link, shared: [shared] });
    }),
  );
  const plainBytes = (): number => flows.reduce((sum, flow) => sum + flow.receivedBytes, 0);
  world.run({ forMs: SETTLE_MS });
  const before = { plain: plainBytes(), ours: reader.readBytes };
  world.run({ forMs: MEASURE_MS });
  const plain = plainBytes() - before.plain;
  const ours = reader.readBytes - before.ours;
  if (reader.wrongByteAt !== -1) throw new Error('what arrived is not what was sent');
  return {
    plainShare: (100 * plain) / (plain + ours),
    totalMbps: ((plain + ours) * 8) / (MEASURE_MS * 1000),
    flowShares: bed.client.session.paths().map((path) => path.statistics.bottleneckShare),
    mostInUse: groups.mostInUse,
  };
}

function bedOf(company: Company, world: World, cores: readonly LinkHops[]): Bed {
  const { carriers, locals, extraMs = 0, congestionControl = 'bbr' } = company;
  const paths: BedPathSpec[] = [];
  for (let local = 0; local < locals; local++) {
    const shared = [cores[local % cores.length] as LinkHops];
    const link = symmetric({ rateMbps: 1000, rttMs: 0.2 + local * extraMs });
    for (const carrier of carriers) {
      paths.push({ name: `${carrier} ${local}`, carrier, link, shared });
      for (let index = 1; carrier === 'tcp' && index <= MAX_EXTRAS; index++) {
        paths.push({ name: `${carrier} ${local} ${index}`, carrier, link, shared });
      }
    }
  }
  const session = { congestionControl };
  const bed = new Bed({ seed: 1, world, paths, client: session, server: session });
  bed.connect(
    {},
    paths.map(({ name }) => name).filter((name) => name.split(' ').length === 2),
  );
  if (!bed.establish()) throw new Error('the session was not established');
  return bed;
}

/**
 * A bed where each link is that of a local address with a TCP and a UDP path, named `tcp 0`, `udp 0`,
 * `tcp 1` and so on, and path groups choose among them. A link's delay is that of its paths.
 */
export function bedOfAll(links: readonly LinkSpec[]): Bed {
  const world = new World({ seed: 'all carriers' });
  const session = { congestionControl: 'bbr' } as const;
  const paths = links.flatMap(({ rttMs, ...rest }, local) => {
    const shared = [world.sharedLink(`link${local}`, symmetric({ ...rest, rttMs: 0.2 }))];
    return (['tcp', 'udp'] as const).map((carrier) => {
      const link = symmetric({ rateMbps: 1000, rttMs });
      return { name: `${carrier} ${local}`, carrier, link, shared };
    });
  });
  const bed = new Bed({ seed: 1, world, paths, client: session, server: session });
  bed.connect();
  if (!bed.establish()) throw new Error('the session was not established');
  manage(bed, { redials: true });
  return bed;
}

/** Lets path groups choose, as the path manager does. */
function manage(
  bed: Bed,
  { redials }: { readonly redials: boolean },
): { readonly mostInUse: number } {
  const { session } = bed.client;
  const outcome = { mostInUse: 0 };
  const extras = new Map<string, number>();
  const groups = new PathGroups({
    probe: (pathId) => session.probePath(pathId),
    setBackup: (pathId, isBackup) =>
      session.setPathStatus(pathId, isBackup ? 'backup' : 'available'),
    setExtraConnections: (route, count) => {
      const name = `tcp ${route.local}`;
      for (let index = extras.get(name) ?? 0; index < Math.min(count, MAX_EXTRAS); index++) {
        bed.openPath(`${name} ${index + 1}`);
      }
      for (let index = count; index < (extras.get(name) ?? 0); index++) {
        const carrierId = bed.clientCarriers.get(`${name} ${index + 1}`);
        const path = session.paths().find((one) => one.carrierId === carrierId);
        if (path !== undefined) session.abandonPath(path.pathId);
      }
      extras.set(name, Math.min(count, MAX_EXTRAS));
    },
  });
  const active = () =>
    [...bed.clientCarriers].flatMap(([name, carrierId]) => {
      const path = session.paths().find((one) => one.carrierId === carrierId);
      if (path?.state !== 'active') return [];
      const { statistics } = path;
      const route = routeOf(name);
      const pathId: PathId = path.pathId;
      return [{ pathId, route, ...statistics, rttMs: statistics.smoothedRttMs }];
    });
  bed.redials = redials;
  const look = (): void => {
    bed.clientHost.command((_, now) => {
      groups.choose(active());
      groups.sample(active(), now);
    });
    const inUse = session.paths().filter((path) => !path.isBackup && path.state === 'active');
    outcome.mostInUse = Math.max(outcome.mostInUse, inUse.length);
    bed.world.schedule(bed.world.now + SAMPLE_INTERVAL_MS, look);
  };
  look();
  return outcome;
}

function routeOf(name: string): Route {
  const [carrier, local = '', index] = name.split(' ');
  const beside = index === undefined ? {} : { index: Number(index) };
  const ends = { local, host: 'server', port: 7600 };
  return { carrier: carrier === 'tcp' ? 'tcp' : 'udp', ...ends, ...beside };
}
