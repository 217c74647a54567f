/**
 * Bytes of a stream between two offsets, in slabs, so that segments can refer to ranges.
 *
 * @module
 */

const SLAB_BYTES = 65_536;

/** A growing stream of bytes whose front can be given up. */
export class ByteStore {
  private readonly slabs: Uint8Array[] = [];
  /** The index of `slabs[0]` counted from the start of the stream. */
  private firstSlab = 0;
  private endOffset = 0;

  /** The offset after the last byte. */
  get end(): number {
    return this.endOffset;
  }

  append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = this.endOffset % SLAB_BYTES;
      if (at === 0) this.slabs.push(new Uint8Array(SLAB_BYTES));
      const slab = this.slabs[this.slabs.length - 1] as Uint8Array;
      const count = Math.min(bytes.length - done, SLAB_BYTES - at);
      slab.set(count === bytes.length ? bytes : bytes.subarray(done, done + count), at);
      done += count;
      this.endOffset += count;
    }
  }

  /** Gives up slabs that lie before `offset`. */
  free(offset: number): void {
    while ((this.firstSlab + 1) * SLAB_BYTES <= offset && this.slabs.length > 0) {
      this.slabs.shift();
      this.firstSlab++;
    }
  }

  /** Calls `emit` with views of the bytes from `start` to `end`, in order; skips what is gone. */
  read(start: number, end: number, emit: (bytes: Uint8Array) => void): void {
    for (let from = start; from < end; ) {
      const index = Math.floor(from / SLAB_BYTES);
      const to = Math.min(end, (index + 1) * SLAB_BYTES);
      const slab = this.slabs[index - this.firstSlab];
      const base = index * SLAB_BYTES;
      if (slab !== undefined) emit(slab.subarray(from - base, to - base));
      from = to;
    }
  }

  /** A copy of the bytes from `start` to `end`; empty if some of them are gone. */
  copy(start: number, end: number): Uint8Array {
    if (start < this.firstSlab * SLAB_BYTES || end > this.endOffset) return new Uint8Array(0);
    const out = new Uint8Array(end - start);
    let at = 0;
    this.read(start, end, (bytes) => {
      out.set(bytes, at);
      at += bytes.length;
    });
    return out;
  }

  /** The byte at `offset`; 0 if it is gone. */
  at(offset: number): number {
    const slab = this.slabs[Math.floor(offset / SLAB_BYTES) - this.firstSlab];
    return slab?.[offset % SLAB_BYTES] ?? 0;
  }
}

/** Copies of datagrams, cut from slabs: many small arrays cost more than a few large ones. */
export class SlabCopier {
  private slab = new Uint8Array(0);
  private used = 0;

  /** One array with the chunks' bytes one after the other. */
  concat(chunks: readonly Uint8Array[]): Uint8Array {
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    if (this.slab.length - this.used < length) {
      this.slab = new Uint8Array(Math.max(SLAB_BYTES, length));
      this.used = 0;
    }
    const start = this.used;
    for (const chunk of chunks) {
      this.slab.set(chunk, this.used);
      this.used += chunk.length;
    }
    return this.slab.subarray(start, this.used);
  }
}
