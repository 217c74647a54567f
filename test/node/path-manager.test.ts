/** The path manager with a clock, a machine, a session and connections of its own. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { InterfaceChange } from '../../src/node/interfaces.js';
import { PathManager } from '../../src/node/path-manager.js';
import { RETRY_MAX_MS } from '../../src/node/redial.js';
import {
  DIAL_TIMEOUT_DARK_MS,
  DIAL_TIMEOUT_MS,
  JOIN_TIMEOUT_MS,
  MAX_ATTEMPTS_PER_ROUTE,
  NEW_PORT_AFTER_MS,
} from '../../src/node/route-keeper.js';
import type { Route } from '../../src/node/routes.js';
import { FakeDialler, FakeSession } from '../helpers/fake-session.js';

const [WLAN, LTE] = ['192.0.2.7', '198.51.100.7'];

function route(carrier: 'udp' | 'tcp', local: string): Route {
  return { carrier, local, host: '203.0.113.1', port: 7600 };
}

class Scene {
  readonly session = new FakeSession();
  readonly dialler = new FakeDialler();
  readonly manager: PathManager;
  locals = [WLAN];
  carriers: ('udp' | 'tcp')[] = ['udp', 'tcp'];
  #onChange: (change: InterfaceChange) => void = () => undefined;

  constructor({ maxRoutes = 8 } = {}) {
    this.manager = new PathManager(this.session.asManaged, {
      dial: this.dialler.dial,
      maxRoutes,
      findRoutes: async () => ({ routes: this.#routes(), isPartial: false }),
      machine: {
        addresses: () => this.locals.map((address) => ({ address })),
        watch: (onChange) => {
          this.#onChange = onChange;
          return { close: () => undefined };
        },
      },
    });
  }

  #routes(): Route[] {
    return this.locals.flatMap((local) => this.carriers.map((carrier) => route(carrier, local)));
  }

  /** Connects a route and has its path answer. */
  async up(key: string): Promise<number> {
    await this.dialler.latest(key).succeed();
    return this.session.become(this.dialler.latest(key), 'active');
  }

  async change(change: InterfaceChange): Promise<void> {
    this.#onChange(change);
    await vi.advanceTimersByTimeAsync(0);
  }

  states(): string[] {
    return this.manager.report().map(({ route: { carrier, local }, state }) => {
      return `${carrier} ${local} ${state}`;
    });
  }
}

async function started(options: { maxRoutes?: number; locals?: string[] } = {}): Promise<Scene> {
  const scene = new Scene(options);
  scene.locals = options.locals ?? [WLAN];
  await scene.manager.start();
  return scene;
}

/** When a route was dialled, counted from the first time. */
function times(scene: Scene, key: string): number[] {
  const all = scene.dialler.of(key).map(({ atMs }) => Math.round(atMs));
  return all.map((at) => at - (all[0] ?? 0));
}

/** Every TCP attempt fails, so many times with the longest wait after it, and once more. */
async function failTcp(scene: Scene, waits: number): Promise<void> {
  for (let i = 0; i <= waits; i++) {
    if (i > 0) await wait(RETRY_MAX_MS);
    for (const one of scene.dialler.of('tcp')) await one.fail();
  }
}

async function wait(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

let chance = 0.5;
beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
  });
  chance = 0.5;
  vi.spyOn(Math, 'random').mockImplementation(() => chance);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('the first contact', () => {
  it('dials all routes at once, with little patience', async () => {
    const scene = await started({ locals: [WLAN, LTE] });
    expect(scene.dialler.attempts.map(({ key }) => key)).toEqual([
      `udp ${WLAN} 203.0.113.1 7600`,
      `tcp ${WLAN} 203.0.113.1 7600`,
      `udp ${LTE} 203.0.113.1 7600`,
      `tcp ${LTE} 203.0.113.1 7600`,
    ]);
    expect(new Set(scene.dialler.attempts.map(({ timeoutMs }) => timeoutMs))).toEqual(
      new Set([DIAL_TIMEOUT_DARK_MS]),
    );
    scene.manager.stop();
    expect(scene.dialler.attempts.every((one) => one.isAborted())).toBe(true);
  });

  it('dials no more routes than there may be, one of each carrier first', async () => {
    const scene = await started({ locals: [WLAN, LTE], maxRoutes: 2 });
    expect(scene.dialler.attempts.map(({ key }) => key.split(' ')[0])).toEqual(['udp', 'tcp']);
    scene.manager.stop();
  });

  it('has no attempt over TCP wait for another, up to four', async () => {
    const scene = await started();
    await wait(2_000);
    expect(times(scene, 'tcp')).toEqual([0, 250, 750, 1_250]);
    expect(scene.dialler.of('tcp')).toHaveLength(MAX_ATTEMPTS_PER_ROUTE);
    await scene.up('tcp');
    expect(scene.dialler.of('tcp').map((one) => one.isAborted())).toEqual([
      true,
      true,
      true,
      false,
    ]);
    scene.manager.stop();
  });

  it('closes a connection that comes when it is no longer wanted', async () => {
    const scene = await started();
    scene.manager.stop();
    await scene.dialler.latest('tcp').succeed();
    expect(scene.dialler.latest('tcp').carrier.isClosed).toBe(true);
    expect(scene.session.paths).toEqual([]);
  });
});

describe('a route that fails while another carries the session', () => {
  it.each([
    [0.5, 1],
    [0, 0.8],
    [1, 1.2],
  ])('is tried after delays that double (chance %f: times %f)', async (value, factor) => {
    chance = value;
    const scene = await started();
    await scene.up('udp');
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      // Attempts that began in the dark are answered first.
      for (const one of scene.dialler.of('tcp')) await one.fail();
      const before = performance.now();
      const count = scene.dialler.of('tcp').length;
      while (scene.dialler.of('tcp').length === count) await wait(10);
      delays.push(Math.round((performance.now() - before) / 10) * 10);
      expect(scene.dialler.latest('tcp').timeoutMs).toBe(DIAL_TIMEOUT_MS);
    }
    // In the dark the attempt counted when it began, and once more when it failed.
    const expected = [250, 1_000, 2_000, 4_000, 8_000, RETRY_MAX_MS].map((ms) => ms * factor);
    expect(delays.slice(0, 6)).toEqual(expected);
    expect(delays.at(-1)).toBe(RETRY_MAX_MS * factor);
    scene.manager.stop();
  });

  it('is tried at once when somebody asks for it', async () => {
    const scene = await started();
    await scene.up('udp');
    await failTcp(scene, 5);
    const count = scene.dialler.of('tcp').length;
    scene.manager.redial();
    expect(scene.dialler.of('tcp')).toHaveLength(count + 1);
    expect(scene.dialler.of('udp')).toHaveLength(1);
    scene.manager.stop();
  });

  it('hurries when the other one fails, too', async () => {
    const scene = await started();
    await scene.up('udp');
    await failTcp(scene, 6);
    const count = scene.dialler.of('tcp').length;
    scene.session.become(scene.dialler.latest('udp'), 'suspect');
    expect(scene.dialler.of('tcp')).toHaveLength(count + 1);
    expect(scene.dialler.latest('tcp').timeoutMs).toBe(DIAL_TIMEOUT_DARK_MS);
    scene.manager.stop();
  });
});

describe('the machine’s addresses', () => {
  it('are dialled from as they come, and all paths are asked for a sign of life', async () => {
    const scene = await started();
    const pathId = await scene.up('udp');
    scene.locals = [WLAN, LTE];
    await scene.change({ hasSlept: false });
    expect(scene.dialler.of(`tcp ${LTE}`)).toHaveLength(1);
    expect(scene.dialler.of(`udp ${LTE}`)).toHaveLength(1);
    expect(scene.session.probed).toContain(pathId);
    scene.manager.stop();
  });

  it('take their paths and their attempts along as they go', async () => {
    const scene = await started({ locals: [WLAN, LTE] });
    await scene.up(`udp ${WLAN}`);
    await scene.up(`udp ${LTE}`);
    scene.locals = [LTE];
    await scene.change({ hasSlept: false });
    expect(scene.dialler.latest(`udp ${WLAN}`).carrier.isClosed).toBe(true);
    expect(scene.dialler.latest(`tcp ${WLAN}`).isAborted()).toBe(true);
    expect(scene.states()).toEqual([`udp ${LTE} active`, `tcp ${LTE} dialling`]);
    scene.manager.stop();
  });

  it('are all dialled from anew after sleep, but where a path is active', async () => {
    const scene = await started();
    const pathId = await scene.up('udp');
    for (const one of scene.dialler.of('tcp')) await one.fail();
    const before = scene.dialler.of('tcp').length;
    await scene.change({ hasSlept: true });
    expect(scene.dialler.of('tcp')).toHaveLength(before + 1);
    expect(scene.dialler.of('udp')).toHaveLength(1);
    expect(scene.session.probed).toEqual([pathId]);
    scene.manager.stop();
  });
});

describe('a TCP path that falls silent', () => {
  async function silent(): Promise<Scene> {
    const scene = await started();
    await scene.up('udp');
    await scene.up('tcp');
    await wait(5_000);
    scene.session.become(scene.dialler.latest('tcp'), 'suspect');
    return scene;
  }

  it('is dialled anew at once, and given up for the new one that answers', async () => {
    const scene = await silent();
    const [old, fresh] = scene.dialler.of('tcp').slice(-2);
    expect(fresh?.atMs).toBe(performance.now());
    await scene.up('tcp');
    expect(old?.carrier.isClosed).toBe(true);
    expect(fresh?.carrier.isClosed).toBe(false);
    scene.manager.stop();
  });

  it('stays if it answers first, and the new one is given up', async () => {
    const scene = await silent();
    const old = scene.dialler.of('tcp').at(-2);
    await scene.dialler.latest('tcp').succeed();
    if (old !== undefined) scene.session.become(old, 'active');
    expect(old?.carrier.isClosed).toBe(false);
    expect(scene.dialler.latest('tcp').carrier.isClosed).toBe(true);
    scene.manager.stop();
  });

  it('is dialled at once when its connection is cut', async () => {
    const scene = await started();
    await scene.up('tcp');
    await wait(5_000);
    const count = scene.dialler.of('tcp').length;
    scene.session.cut(scene.dialler.latest('tcp'));
    expect(scene.dialler.of('tcp')).toHaveLength(count + 1);
    scene.manager.stop();
  });
});

describe('UDP that is blocked', () => {
  it('on the way is tried from a new port after a while, and comes back by itself', async () => {
    const scene = await started();
    await scene.up('tcp');
    await scene.up('udp');
    const old = scene.dialler.latest('udp');
    scene.session.become(old, 'suspect');
    await wait(NEW_PORT_AFTER_MS - 1);
    expect(scene.dialler.of('udp')).toHaveLength(1);
    await wait(1);
    expect(scene.dialler.of('udp')).toHaveLength(2);
    await scene.dialler.latest('udp').succeed();
    scene.session.become(old, 'active');
    expect(scene.dialler.latest('udp').carrier.isClosed).toBe(true);
    expect(scene.states()).toEqual([`udp ${WLAN} active`, `tcp ${WLAN} active`]);
    scene.manager.stop();
  });

  it('from the beginning is tried anew, one socket at a time beside a silent one', async () => {
    const scene = await started();
    await scene.up('tcp');
    await scene.dialler.latest('udp').succeed();
    for (let i = 0; i < 10; i++) {
      await wait(JOIN_TIMEOUT_MS + 1);
      await scene.dialler.latest('udp').succeed();
      expect(scene.session.paths.length).toBeLessThanOrEqual(3);
    }
    expect(scene.dialler.of('udp').length).toBeGreaterThan(5);
    scene.session.become(scene.dialler.latest('udp'), 'active');
    const open = scene.dialler.of('udp').filter(({ carrier }) => !carrier.isClosed);
    expect(open).toHaveLength(1);
    expect(scene.states()).toEqual([`udp ${WLAN} active`, `tcp ${WLAN} active`]);
    scene.manager.stop();
  });
});
