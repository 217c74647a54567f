import { describe, expect, it } from 'vitest';
import { DEFAULT_SESSION_OPTIONS } from '../../src/core/index.js';
import { connectInMemory } from '../../src/node/in-memory.js';
import type { RovingStream } from '../../src/node/stream.js';
import { collect, joined, turns, withPair } from '../helpers/node-pair.js';

const KIB = 1024;
const SEND_BUFFER_BYTES = 256 * KIB;
const RECEIVE_WINDOW_BYTES = 128 * KIB;
const HIGH_WATER_MARK_BYTES = 64 * KIB;
const CHUNK_BYTES = 64 * KIB;
/** Turns of the event loop without any progress, after which there will be none. */
const QUIET_TURNS = 300;

async function untilQuiet(count: () => number): Promise<void> {
  let quiet = 0;
  for (let before = -1; quiet < QUIET_TURNS; quiet = count() === before ? quiet + 1 : 0) {
    before = count();
    await turns(1);
  }
}

describe('a reader that pauses', () => {
  it('stops a writer without end at what the windows hold, and then all goes on', async () => {
    const { client, server } = await connectInMemory({
      carriers: 1,
      client: { streamSendBufferBytes: SEND_BUFFER_BYTES, sendBufferBytes: SEND_BUFFER_BYTES },
      server: {
        receiveWindowBytes: RECEIVE_WINDOW_BYTES,
        maxReceiveWindowBytes: RECEIVE_WINDOW_BYTES,
        streamReceiveWindowBytes: RECEIVE_WINDOW_BYTES,
        maxStreamReceiveWindowBytes: RECEIVE_WINDOW_BYTES,
      },
    });
    const accepted = new Promise<RovingStream>((resolve) => server.once('stream', resolve));
    const writer = client.openStream({ highWaterMark: HIGH_WATER_MARK_BYTES });
    let written = 0;
    let isOver = false;
    const pump = () => {
      while (!isOver && writer.write(new Uint8Array(CHUNK_BYTES))) written += CHUNK_BYTES;
    };
    writer.on('drain', () => {
      written += CHUNK_BYTES;
      pump();
    });
    pump();
    const reader = await accepted;
    await untilQuiet(() => written);
    // The peer's window, our buffer, Node's own buffers at both ends, and what was refused last.
    const most = RECEIVE_WINDOW_BYTES + SEND_BUFFER_BYTES + 3 * HIGH_WATER_MARK_BYTES + CHUNK_BYTES;
    expect(written).toBeGreaterThanOrEqual(RECEIVE_WINDOW_BYTES);
    expect(written).toBeLessThanOrEqual(most);
    expect(client.bufferedBytes).toBeLessThanOrEqual(SEND_BUFFER_BYTES);
    expect(writer.writableLength).toBeLessThanOrEqual(HIGH_WATER_MARK_BYTES + CHUNK_BYTES);
    expect(reader.readableLength).toBeLessThanOrEqual(HIGH_WATER_MARK_BYTES + CHUNK_BYTES);
    let received = 0;
    const goesOn = new Promise<void>((resolve) => {
      reader.on('data', (bytes: Uint8Array) => {
        received += bytes.length;
        if (received > 2 * most) resolve();
      });
    });
    await goesOn;
    isOver = true;
    writer.on('error', () => undefined);
    reader.on('error', () => undefined);
    client.abort();
  });

  it('holds up no other stream with the options as they are, also after its window has grown', () =>
    withPair({}, async (pair) => {
      const [writer, reader] = await joined(pair);
      let written = 0;
      const chunk = new Uint8Array(CHUNK_BYTES);
      const pump = (): void => {
        while (writer.write(chunk)) written += chunk.length;
        written += chunk.length;
      };
      writer.on('drain', pump);
      pump();
      // Read fast for a while, so that the window of the stream becomes as large as it gets.
      let received = 0;
      for await (const bytes of reader.iterator({ destroyOnReturn: false })) {
        received += bytes.length;
        if (received > 4 * DEFAULT_SESSION_OPTIONS.maxStreamReceiveWindowBytes) break;
      }
      await untilQuiet(() => written);
      const { maxStreamReceiveWindowBytes, streamSendBufferBytes } = DEFAULT_SESSION_OPTIONS;
      expect(written - received).toBeLessThan(
        maxStreamReceiveWindowBytes + streamSendBufferBytes + 8 * HIGH_WATER_MARK_BYTES,
      );
      // Much more than there would be left of a window that one stream could fill.
      const [ours, theirs] = await joined(pair);
      const bytes = 2 * DEFAULT_SESSION_OPTIONS.maxStreamReceiveWindowBytes;
      ours.end(new Uint8Array(bytes));
      expect((await collect(theirs)).length).toBe(bytes);
    }));
});
