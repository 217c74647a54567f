/**
 * Helpers over bytes that the crypto layer needs and ES2022 lacks.
 *
 * @module
 */

/** The parts one after the other, in fresh memory. */
export function concatBytes(...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/**
 * Whether both hold the same bytes. The time taken depends on the lengths only, so secrets and
 * tags may be compared.
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

/**
 * The bytes of a text of ASCII characters.
 *
 * @throws RangeError if a character is beyond U+007F.
 */
export function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) throw new RangeError('text is not ASCII');
    bytes[i] = unit;
  }
  return bytes;
}

/** Lower-case hexadecimal digits, two a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/**
 * The bytes that hexadecimal digits of either case stand for.
 *
 * @throws RangeError if the count of digits is odd or a character is not a digit. The text itself
 * is not in the error: it may be a secret.
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new RangeError('text is not an even count of hexadecimal digits');
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  }
  return bytes;
}

/**
 * Refuses a value that is not `length` bytes long; for arguments of our own code, never for what
 * the network sent.
 *
 * @throws RangeError naming the argument, never showing it.
 */
export function requireLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) {
    throw new RangeError(`${what} has ${bytes.length} bytes instead of ${length}`);
  }
}
