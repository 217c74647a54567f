/**
 * Two ends of a conversation of small messages, whose times of arrival are known.
 *
 * @module
 */

import { SERVER, tool } from './programs.mjs';

/** One end: a running `tools/chat.mjs`. */
export class Talker {
  /** @param {import('./processes.mjs').Program} program */
  constructor(program) {
    this.program = program;
  }

  /** `say`, `talk MS`, `hush`, `end`. @param {string} words */
  tell(words) {
    this.program.tell(words);
  }

  /** Messages heard until now: when each was written, and when it came. */
  heard() {
    const lines = this.program.stdout.matchAll(/^heard (\S+) (\S+)\n/gm);
    return Array.from(lines, ([, written, at]) => ({
      writtenMs: Number(written),
      atMs: Number(at),
    }));
  }

  /**
   * The first message heard that was written after a time.
   *
   * @param {number} sinceMs
   * @param {number} patienceMs
   */
  async firstSince(sinceMs, patienceMs) {
    const end = performance.now() + patienceMs;
    for (;;) {
      const message = this.heard().find(({ writtenMs }) => writtenMs >= sinceMs);
      if (message !== undefined) return message;
      const left = end - performance.now();
      if (left <= 0) throw new Error(`nothing that was written later came within ${patienceMs} ms`);
      const known = this.heard().length;
      const next = new RegExp(`^(?:(?:(?!heard).*\\n)*heard .*\\n){${known + 1}}`);
      await this.program.line(next, 'stdout', left);
    }
  }

  get isClosed() {
    return /^(closed|error)/m.test(this.program.stdout);
  }
}

/**
 * The server's end, which answers each message at once, and then the client's.
 *
 * @param {import('./bed.mjs').Bed} bed
 * @param {{ host?: string, port?: number }} [to]
 */
export async function converse(bed, { host = SERVER, port = 9000 } = {}) {
  const script = tool('chat.mjs');
  const server = bed.spawn('server', [process.execPath, script, 'listen', port, 'echo']);
  await server.line(/listening/);
  const client = bed.spawn('client', [process.execPath, script, 'connect', host, port]);
  await client.line(/connected/);
  await server.line(/connected/);
  return { server: new Talker(server), client: new Talker(client) };
}
