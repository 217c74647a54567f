/** Exit codes, after `sysexits.h`. @module */

export const EXIT = {
  OK: 0,
  /** The command was used wrongly. */
  USAGE: 64,
  /** What was given is damaged, such as a ticket that was cut off. */
  DATA: 65,
  /** A file that was to be read is not there. */
  NO_INPUT: 66,
  /** A host name has no address. */
  NO_HOST: 68,
  /** The other end, or a port here, can't be had. */
  UNAVAILABLE: 69,
  /** Our own fault. */
  SOFTWARE: 70,
  /** A file can't be created. */
  CANNOT_CREATE: 73,
  /** Reading or writing failed. */
  IO: 74,
  /** The other end broke the protocol. */
  PROTOCOL: 76,
  /** Not allowed: by a file's mode, or by the key. */
  NO_PERMISSION: 77,
  /** The key file, or another file of settings, is wrong. */
  CONFIG: 78,
  /** Ended by SIGHUP: the terminal has gone, or ssh has ended its `ProxyCommand`. */
  HUNG_UP: 129,
  /** Ended by Ctrl-C, as shells count signals. */
  INTERRUPTED: 130,
  /** Ended by SIGTERM, where that is no clean end. */
  TERMINATED: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
