/**
 * A copy in a process of its own, both ends, that kills itself with SIGKILL when so many bytes have
 * been moved: no handler runs, nothing is tidied up. Run with the built package by the tests.
 *
 *     node killed-copy.mjs put|get SERVED SOURCE DESTINATION BYTES
 */
import { copyFromRemote, copyToRemote, filesService } from '../../dist/copy/index.js';
import { connectInMemory } from '../../dist/node/index.js';
import { ServiceHost } from '../../dist/service/index.js';

const [operation, served, source, destination, bytes] = process.argv.slice(2);
const { client, server } = await connectInMemory();
new ServiceHost([filesService()]).attach(server, [`files:${served}`]);
const copy = operation === 'put' ? copyToRemote : copyFromRemote;
await copy(client, [source], destination, {
  onProgress: (progress) => {
    if (progress.bytes >= Number(bytes)) process.kill(process.pid, 'SIGKILL');
  },
});
process.exit(3);
