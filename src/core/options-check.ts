/**
 * Whether options can be kept, said at once to whoever sets them: not when the first peer comes.
 *
 * @module
 */

import { type CipherName, SPEC_KEY_UPDATE_PACKETS } from '../crypto/index.js';
import {
  SPEC_MAX_ACK_DELAY_MS,
  SPEC_MAX_INSTANCE_BYTES,
  SPEC_MAX_PACKET_BYTES,
  SPEC_MAX_STREAMS,
} from '../wire/index.js';
import { UsageError } from './errors.js';
import type { SessionOptions } from './options.js';
import { SCHEDULERS } from './scheduler/index.js';

/** The largest number on the wire (protocol.md#varint), and the largest exact one here. */
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;
/** A packet this long has room for each kind of frame; what every datagram carrier can carry. */
const MIN_PACKET_BYTES = 1_200;

const CIPHERS: Readonly<Record<CipherName, true>> = {
  'AES-256-GCM': true,
  'ChaCha20-Poly1305': true,
};
const CONGESTION_CONTROLS: Readonly<Record<SessionOptions['congestionControl'], true>> = {
  bbr: true,
  cubic: true,
};

type NumberOption = {
  [K in keyof SessionOptions]-?: SessionOptions[K] extends number ? K : never;
}[keyof SessionOptions];

/** Whole numbers, from and to; both are allowed. */
const WHOLE: Readonly<Partial<Record<NumberOption, readonly [number, number]>>> = {
  receiveWindowBytes: [1, MAX_NUMBER],
  maxReceiveWindowBytes: [1, MAX_NUMBER],
  streamReceiveWindowBytes: [1, MAX_NUMBER],
  maxStreamReceiveWindowBytes: [1, MAX_NUMBER],
  sendBufferBytes: [1, MAX_NUMBER],
  streamSendBufferBytes: [1, MAX_NUMBER],
  maxStreamsBidi: [0, SPEC_MAX_STREAMS],
  maxStreamsUni: [0, SPEC_MAX_STREAMS],
  maxPaths: [1, MAX_NUMBER],
  maxAckDelayMs: [0, SPEC_MAX_ACK_DELAY_MS],
  maxPacketBytes: [MIN_PACKET_BYTES, SPEC_MAX_PACKET_BYTES],
  keyUpdatePackets: [1, SPEC_KEY_UPDATE_PACKETS],
};

/** Times of this end alone; they may be fractions. */
const TIMES: Readonly<Partial<Record<NumberOption, readonly [number, number]>>> = {
  sessionTimeoutMs: [1, MAX_NUMBER],
  connectTimeoutMs: [1, MAX_NUMBER],
  keepAliveMs: [0, MAX_NUMBER],
  maxKeepAliveMs: [0, MAX_NUMBER],
};

/** @throws UsageError that names the first option that is out of range, its value and the range. */
export function checkOptions(options: SessionOptions): void {
  for (const [name, [from, to]] of Object.entries(WHOLE)) {
    const value = options[name as NumberOption];
    if (Number.isInteger(value) && value >= from && value <= to) continue;
    refuse(name, value, `a whole number from ${from} to ${to}`);
  }
  for (const [name, [from, to]] of Object.entries(TIMES)) {
    const value = options[name as NumberOption];
    if (typeof value === 'number' && value >= from && value <= to) continue;
    refuse(name, value, `a number from ${from} to ${to}`);
  }
  checkNames(options);
  checkInstance(options);
}

function checkNames(options: SessionOptions): void {
  const { ciphers, scheduler, congestionControl } = options;
  const isKnown = Array.isArray(ciphers) && ciphers.every((one) => Object.hasOwn(CIPHERS, one));
  if (!isKnown || ciphers.length === 0) {
    refuse('ciphers', ciphers, `one or more of ${namesOf(CIPHERS)}`);
  }
  if (!Object.hasOwn(SCHEDULERS, scheduler)) {
    refuse('scheduler', scheduler, `one of ${namesOf(SCHEDULERS)}`);
  }
  if (!Object.hasOwn(CONGESTION_CONTROLS, congestionControl)) {
    refuse('congestionControl', congestionControl, `one of ${namesOf(CONGESTION_CONTROLS)}`);
  }
}

function checkInstance({ instance, epoch }: SessionOptions): void {
  const length = instance instanceof Uint8Array ? instance.length : 0;
  if (instance !== undefined && (length < 1 || length > SPEC_MAX_INSTANCE_BYTES)) {
    const what = instance instanceof Uint8Array ? `${length} bytes` : instance;
    refuse('instance', what, `1 to ${SPEC_MAX_INSTANCE_BYTES} bytes`);
  }
  if (epoch !== undefined && (!Number.isSafeInteger(epoch) || epoch < 0)) {
    refuse('epoch', epoch, `a whole number from 0 to ${MAX_NUMBER}`);
  }
}

function namesOf(names: Readonly<Record<string, unknown>>): string {
  return Object.keys(names).join(', ');
}

function refuse(name: string, value: unknown, range: string): never {
  throw new UsageError(`the option ${name} is ${range}, not ${String(value)}`);
}
