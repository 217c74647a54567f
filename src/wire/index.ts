/**
 * The wire layer: bytes to values and back. It keeps no state but a record that is half there.
 *
 * @module
 */

export * from './error.js';
export * from './frames.js';
export * from './packet.js';
export * from './parameters.js';
export * from './reader.js';
export * from './record.js';
export * from './utf8.js';
export * from './varint.js';
export * from './writer.js';
