/**
 * Endless random worlds: `npm run soak -- [first seed] [count]`, after `npm run build`. Stops at the first
 * that fails and tells how to replay it.
 */
import { runRandomWorld } from '../dist/sim/index.js';

/** A world that takes longer than this is worth a profile. */
const SLOW_MS = 2_000;
const REPORT_EVERY_MS = 5_000;

const first = Number(process.argv[2] ?? process.env.SEED ?? 1);
const count = Number(process.argv[3] ?? process.env.WORLDS ?? Number.POSITIVE_INFINITY);
if (!Number.isSafeInteger(first) || !(count > 0)) {
  console.error('usage: soak.mjs [first seed] [count]');
  process.exit(2);
}

const startedAt = performance.now();
let reportedAt = startedAt;
let packets = 0;
for (let seed = first; seed < first + count; seed++) {
  const before = performance.now();
  const report = runRandomWorld(seed);
  const now = performance.now();
  packets += report.summary.packets;
  if (now - before > SLOW_MS) {
    console.log(`slow: seed ${seed} took ${Math.round(now - before)} ms`, report.summary);
  }
  if (!report.ok) {
    console.error(`seed ${seed} failed: ${report.why}`);
    console.error(report.summary);
    console.error(`replay: node scripts/soak.mjs ${seed} 1`);
    process.exit(1);
  }
  if (now - reportedAt > REPORT_EVERY_MS) {
    reportedAt = now;
    const seconds = ((now - startedAt) / 1000).toFixed(0);
    console.log(`seed ${seed}: ${seed - first + 1} worlds, ${packets} packets, ${seconds} s`);
  }
}
console.log(`${count} worlds, ${packets} packets: all well`);
