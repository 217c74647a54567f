/**
 * Makes the plan of a failing random world smaller while it still fails, and prints it as JSON:
 * `node scripts/shrink-world.mjs SEED`, after `npm run build`. `runPlan` takes what it prints.
 */
import { drawPlan, runPlan } from '../dist/sim/index.js';

const seed = Number(process.argv[2]);
if (!Number.isSafeInteger(seed)) {
  console.error('usage: shrink-world.mjs SEED');
  process.exit(2);
}

/** The kind of failure, without its numbers: a shrunk world shall fail in the same way. */
function failure(plan) {
  const { ok, why } = runPlan(plan);
  return ok ? undefined : why.slice(0, 24).replace(/[0-9.]+/g, '#');
}

let plan = drawPlan(seed);
const wanted = failure(plan);
if (wanted === undefined) {
  console.log(`seed ${seed} does not fail`);
  process.exit(0);
}

function* smaller(from) {
  for (const key of ['streams', 'faults', 'paths']) {
    for (let size = from[key].length >> 1; size >= 1; size >>= 1) {
      for (let i = 0; i + size <= from[key].length; i += size) {
        yield { ...from, [key]: from[key].toSpliced(i, size) };
      }
    }
  }
  for (const end of ['client', 'server']) {
    for (const key of Object.keys(from[end])) {
      const { [key]: _, ...rest } = from[end];
      if (key !== 'connectTimeoutMs' && key !== 'keepAliveMs') yield { ...from, [end]: rest };
    }
  }
  for (let i = 0; i < from.paths.length; i++) {
    const { nat: _, opensAtMs: __, ...path } = from.paths[i];
    for (const way of ['up', 'down']) {
      path[way] = { rateBitsPerSec: path.rateMbps * 1e6, delayMs: path.rttMs / 2, queueMs: 50 };
    }
    if (JSON.stringify(path) !== JSON.stringify(from.paths[i])) {
      yield { ...from, paths: from.paths.with(i, path) };
    }
  }
}

for (let improved = true; improved; ) {
  improved = false;
  for (const candidate of smaller(plan)) {
    if (candidate.paths.length === 0) continue;
    // A fault of a path that is gone can not happen.
    const names = new Set(candidate.paths.map(({ name }) => name));
    candidate.faults = candidate.faults.filter(({ path }) => path === undefined || names.has(path));
    if (failure(candidate) !== wanted) continue;
    plan = candidate;
    improved = true;
    break;
  }
}
console.log(JSON.stringify(plan, undefined, 2));
console.error(runPlan(plan).why);
