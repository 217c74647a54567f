import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** The size of the heap in bytes, after everything that is not in use was thrown away. */
export function usedHeap(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
