import { describe, expect, it } from 'vitest';
import { connectInMemory } from '../../src/node/in-memory.js';
import type { RovingStream } from '../../src/node/stream.js';

const KIB = 1024;
const SEND_BUFFER_BYTES = 256 * KIB;
const RECEIVE_WINDOW_BYTES = 128 * KIB;
const HIGH_WATER_MARK_BYTES = 64 * KIB;
const CHUNK_BYTES = 64 * KIB;
/** Turns of the event loop without any progress, after which there will be none. */
const QUIET_TURNS = 300;

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
    let quiet = 0;
    for (let before = -1; quiet < QUIET_TURNS; quiet = written === before ? quiet + 1 : 0) {
      before = written;
      await new Promise((resolve) => setImmediate(resolve));
    }
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
});
