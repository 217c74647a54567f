/**
 * Sockets that systemd has opened for this process (sd_listen_fds(3)): it may start only when
 * somebody comes, and ports below 1024 need no rights of its own.
 *
 * @module
 */

import { readFileSync, readlinkSync } from 'node:fs';
import type { InheritedSocket } from '../node/index.js';
import { EXIT } from './exit-codes.js';
import { CliError } from './failure.js';

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const MAX_FDS = 64;

/**
 * Takes the sockets out of the environment, so that no child process takes them for its own.
 *
 * @returns none if there are none for this very process.
 * @throws CliError if one of them is neither TCP nor UDP.
 */
export function takeInheritedSockets(environment = process.env): InheritedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  if (pid === undefined || Number(pid) !== process.pid) return [];
  const total = Number(count);
  if (!Number.isInteger(total) || total < 0 || total > MAX_FDS) {
    throw new CliError(EXIT.CONFIG, 'LISTEN_FDS is no number of sockets', 'ERR_ACTIVATION');
  }
  return Array.from({ length: total }, (_, index) => {
    const fd = FIRST_FD + index;
    return { fd, ...kindOf(fd) };
  });
}

/** Node can't ask what a descriptor is, but the kernel lists every socket by its inode. */
function kindOf(fd: number): Omit<InheritedSocket, 'fd'> {
  const inode = /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
  for (const kind of ['tcp', 'udp'] as const) {
    if (inode === undefined) break;
    if (lists(kind, inode)) return { kind, family: 4 };
    if (lists(`${kind}6`, inode)) return { kind, family: 6 };
  }
  throw new CliError(
    EXIT.CONFIG,
    `descriptor ${fd} from systemd is no TCP or UDP socket: use ListenStream= and ListenDatagram=`,
    'ERR_ACTIVATION',
  );
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

function lists(table: string, inode: string): boolean {
  try {
    const [, ...rows] = readFileSync(`/proc/self/net/${table}`, 'utf8').split('\n');
    // Columns of /proc/net/tcp and udp; the tenth is the inode (proc_net_tcp).
    return rows.some((row) => row.trim().split(/\s+/)[9] === inode);
  } catch {
    return false;
  }
}
