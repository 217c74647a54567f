// The protocol in a simulated network, in virtual time: 8 MB over a fast and a slow link. The fast
// one swallows everything from 0.5 s to 2 s; watch what the session makes of it. The same seed gives
// the same run, to the byte.
//
//     node examples/watch-a-path-die.mjs [SEED]

import { applyFaults, Bed, BulkSender, Reader, symmetric } from 'roving/sim';

const BYTES = 8_000_000;
const bed = new Bed({
  seed: process.argv[2] ?? 1,
  paths: [
    { name: 'wifi', carrier: 'udp', link: symmetric({ rateMbps: 40, rttMs: 20 }) },
    { name: 'lte', carrier: 'tcp', link: symmetric({ rateMbps: 10, rttMs: 60 }) },
  ],
});
const client = bed.connect();
if (!bed.establish()) throw new Error('nobody answered');

const start = bed.world.now;
function say(/** @type {string} */ text) {
  console.log(`${((bed.world.now - start) / 1000).toFixed(2)} s  ${text}`);
}
client.on((event) => {
  if (event.type === 'path') say(`path ${event.pathId} is ${event.state}: ${event.reason}`);
});
applyFaults(bed.world, [
  { at: 500, type: 'black', path: 'wifi', on: true },
  { at: 2_000, type: 'black', path: 'wifi', on: false },
]);

const reader = new Reader(bed.server);
new BulkSender(client, { bytes: BYTES });
for (let i = 0; i < 40 && reader.readBytes < BYTES; i++) {
  bed.world.run({ forMs: 250, until: () => reader.readBytes >= BYTES });
  say(`${(reader.readBytes / 1e6).toFixed(1)} MB have arrived`);
}
say(`longest time without a byte: ${reader.longestGapMs.toFixed(0)} ms`);
if (reader.readBytes < BYTES || reader.wrongByteAt >= 0) process.exitCode = 1;
