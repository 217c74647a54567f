/** The crypto layer: handshake, key schedule and packet protection behind a small interface. */

export * from './bytes.js';
export * from './envelope.js';
export * from './hkdf.js';
export * from './key-schedule.js';
export * from './noise.js';
export { CipherState, SymmetricState } from './noise-state.js';
export * from './portable.js';
export * from './protection.js';
export * from './provider.js';
export * from './replay-window.js';
