import { describe, expect, it } from 'vitest';
import type { PathId } from '../../src/core/index.js';
import { type GroupedPath, PathGroups } from '../../src/node/path-groups.js';
import { type Route, routeKey } from '../../src/node/routes.js';

const SERVER = { host: '203.0.113.1', port: 7600 };
const WIFI = '192.0.2.7';
const LTE = '198.51.100.7';

function path(id: number, route: Pick<Route, 'carrier'> & Partial<Route>): GroupedPath {
  const full = { local: WIFI, ...SERVER, ...route };
  const moved = { sentBytes: 0, receivedBytes: 0, receivedPackets: 0 };
  const rtts = { rttMs: 20, minRttMs: 20, recentRttMs: 20, rttJumps: 0 };
  return { pathId: id as PathId, route: full, ...moved, ...rtts };
}

class Scene {
  readonly backups = new Map<number, boolean>();
  readonly extras: string[] = [];
  readonly probed: number[] = [];
  readonly groups = new PathGroups({
    probe: (pathId) => this.probed.push(pathId),
    setBackup: (pathId, isBackup) => this.backups.set(pathId, isBackup),
    setExtraConnections: (route, count) => this.extras.push(`${routeKey(route).trim()} +${count}`),
  });

  choose(...paths: GroupedPath[]): number[] {
    this.groups.choose(paths);
    return paths.filter(({ pathId }) => this.backups.get(pathId) === true).map((one) => one.pathId);
  }

  /** Moves data for so long at the rate that the paths give; those that lose jump all the time. */
  run(paths: GroupedPath[], rate: () => number, forMs: number, losing = [0]): void {
    let sentBytes = paths[0]?.sentBytes ?? 0;
    for (let now = 0; now < forMs; now += 250) {
      sentBytes += rate() * 250;
      const counted = paths.map((one, index) => ({
        ...one,
        ...(index === 0 && { sentBytes }),
        ...(losing.includes(index) && { rttJumps: now / 250 }),
      }));
      this.groups.sample(counted, now);
    }
  }
}

describe('of the paths of one local address', () => {
  it('TCP carries data, UDP stands by', () => {
    expect(new Scene().choose(path(0, { carrier: 'udp' }), path(1, { carrier: 'tcp' }))).toEqual([
      0,
    ]);
  });

  it('UDP carries data where there is no TCP, and a WebSocket stands by', () => {
    const url = { url: 'wss://example.net/' };
    const scene = new Scene();
    expect(scene.choose(path(0, { carrier: 'udp' }), path(1, { carrier: 'ws', ...url }))).toEqual([
      1,
    ]);
    expect(scene.choose(path(1, { carrier: 'ws', ...url }))).toEqual([]);
    expect(scene.backups.get(1)).toBe(false);
  });

  it('an unbound one counts as of the address that it leaves from', () => {
    const unbound = path(0, { carrier: 'udp', local: undefined, near: WIFI });
    expect(new Scene().choose(unbound, path(1, { carrier: 'tcp' }))).toEqual([0]);
  });

  it('one that stood by has to answer before it is used, while others carry the data', () => {
    const scene = new Scene();
    const elsewhere = path(0, { carrier: 'tcp', local: LTE });
    const standby = path(2, { carrier: 'udp' });
    expect(scene.choose(elsewhere, path(1, { carrier: 'tcp' }), standby)).toEqual([2]);
    expect(scene.choose(elsewhere, standby)).toEqual([2]);
    expect(scene.probed).toEqual([2]);
    expect(scene.choose(elsewhere, { ...standby, receivedPackets: 1 })).toEqual([]);
    expect(scene.probed).toEqual([2]);
  });

  it('a way through a proxy is the last', () => {
    const via = { via: 'http://proxy.example:3128', local: WIFI };
    expect(
      new Scene().choose(path(0, { carrier: 'tcp', ...via }), path(1, { carrier: 'udp' })),
    ).toEqual([0]);
  });

  it('a way through a proxy is the last, wherever it comes from', () => {
    const proxied = path(0, { carrier: 'tcp', via: 'http://proxy.example:3128', local: undefined });
    expect(new Scene().choose(proxied, path(1, { carrier: 'udp' }))).toEqual([0]);
    expect(new Scene().choose(proxied)).toEqual([]);
  });

  it('those of another address are no reason to stand by', () => {
    const scene = new Scene();
    expect(
      scene.choose(path(0, { carrier: 'udp', local: LTE }), path(1, { carrier: 'tcp' })),
    ).toEqual([]);
  });
});

describe('while much is sent', () => {
  it('UDP is used beside a TCP that is limited by loss', () => {
    const scene = new Scene();
    const paths = [path(0, { carrier: 'tcp' }), path(1, { carrier: 'udp' })];
    scene.choose(...paths);
    expect(scene.backups.get(1)).toBe(true);
    scene.run(paths, () => (scene.backups.get(1) === true ? 100 : 1_000), 10_000);
    expect(scene.backups.get(1)).toBe(false);
    expect(scene.extras).toEqual([]);
  });

  it('and stands by again where that brings nothing', () => {
    const scene = new Scene();
    const paths = [path(0, { carrier: 'tcp' }), path(1, { carrier: 'udp' })];
    scene.choose(...paths);
    scene.run(paths, () => 1_000, 10_000);
    expect(scene.backups.get(1)).toBe(true);
  });

  it('nothing is tried where round trips over TCP do not jump', () => {
    const scene = new Scene();
    const paths = [path(0, { carrier: 'tcp' }), path(1, { carrier: 'udp' })];
    scene.choose(...paths);
    scene.run(paths, () => (scene.backups.get(1) === true ? 100 : 1_000), 30_000, [1]);
    expect(scene.backups.get(1)).toBe(true);
  });

  it('more TCP connections are used where each is limited by loss and there is no UDP', () => {
    const scene = new Scene();
    const count = (): number => Number(scene.extras.at(-1)?.split('+')[1] ?? 0);
    scene.run([path(0, { carrier: 'tcp' })], () => 100 * (1 + Math.min(2, count())), 30_000);
    expect(Math.max(...scene.extras.map((text) => Number(text.split('+')[1])))).toBe(3);
    expect(count()).toBe(2);
  });

  it('nothing is added where all paths wait in a queue, whatever it would bring', () => {
    const scene = new Scene();
    const paths = [path(0, { carrier: 'tcp' }), path(1, { carrier: 'udp' })];
    scene.choose(...paths);
    const waiting = paths.map((one) => ({ ...one, recentRttMs: 60 }));
    scene.run(waiting, () => (scene.backups.get(1) === true ? 100 : 1_000), 30_000);
    expect(scene.backups.get(1)).toBe(true);
    expect(new Set(scene.probed)).toEqual(new Set([0, 1]));
  });

  it('one that finds the queue empty shows that there is none', () => {
    const scene = new Scene();
    const paths = [path(0, { carrier: 'tcp' }), path(1, { carrier: 'udp' })];
    scene.choose(...paths);
    const lossy = paths.map((one, index) => ({ ...one, recentRttMs: index === 0 ? 60 : 21 }));
    scene.run(lossy, () => (scene.backups.get(1) === true ? 100 : 1_000), 10_000);
    expect(scene.backups.get(1)).toBe(false);
  });

  it('further TCP connections are given back when their group is no more', () => {
    const scene = new Scene();
    scene.run([path(0, { carrier: 'tcp' })], () => 100 * (1 + scene.extras.length), 4_000);
    expect(scene.extras.at(-1)).not.toMatch(/\+0$/);
    scene.groups.sample([path(1, { carrier: 'tcp', local: LTE })], 5_000);
    expect(scene.extras.at(-1)).toMatch(/\+0$/);
  });
});
