/** `roving doctor`: what this network lets pass, and which paths would be used and why. @module */

import colors from 'picocolors';
import { type DoctorReport, examine, type NatReport } from '../../probe/index.js';
import { parseDuration } from '../arguments.js';
import { withClient } from '../client.js';
import { EXIT } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { formatMs, formatTable, printable } from '../format.js';
import { note, print, printJson } from '../output.js';
import type { ClientOptionValues } from '../program-options.js';

export interface DoctorValues extends ClientOptionValues {
  readonly natSeconds: string;
}

export async function doctorVerb(values: DoctorValues): Promise<void> {
  const natMs = values.natSeconds === '0' ? 0 : parseDuration(values.natSeconds, '--nat-seconds');
  await withClient('doctor', values, async (client) => {
    const { carriers, ...connect } = client.options;
    const report = await examine(client.ticket, {
      connect,
      ...(carriers === undefined ? {} : { carriers }),
      natMs,
      signal: client.signal,
      onStep: (step) => note(`${step}...`),
    });
    if (values.json === true) printJson(report);
    else print(describe(report));
    if (report.carriers.some(({ state }) => state === 'passes')) return;
    throw new CliError(
      EXIT.UNAVAILABLE,
      'nothing gets through to the server: it may be down, or the ticket revoked',
      'ERR_UNREACHABLE',
    );
  });
}

function describe(report: DoctorReport): string {
  const { localAddresses, proxies, carriers, nat, tcpPorts, mptcp, routes } = report;
  const addresses = localAddresses.map((one) => [one.interface, one.address]);
  const proxied = proxies.filter(({ proxy }) => proxy !== null);
  const sections: [string, string][] = [
    ['Addresses here', formatTable(addresses)],
    ['Carriers', formatTable(carriers.map(describeCarrier))],
    ['NAT', describeNat(nat)],
    [
      'TCP ports of the server',
      formatTable(
        tcpPorts.map(({ host, port, state, answer }) => [`${host}:${port}`, state, answer]),
      ),
    ],
    [
      'Proxies',
      proxied.length === 0
        ? 'none in the environment, and none given\n'
        : formatTable(proxied.map(({ target, proxy }) => [target, proxy ?? ''])),
    ],
    ['MPTCP', `kernel ${mptcp.kernel}; option ${mptcp.option}: ${mptcp.why}\n`],
    [
      'Paths that a client would use',
      routes.length === 0
        ? 'none\n'
        : formatTable(
            routes.map(({ carrier, local, remote, via, isUsed, why }) => [
              isUsed ? 'yes' : 'no',
              carrier,
              `${local ?? '*'} > ${remote}${via === null ? '' : ` via ${via}`}`,
              why,
            ]),
          ),
    ],
  ];
  return sections.map(([title, text]) => `${colors.bold(title)}\n${indent(text)}`).join('\n');
}

function indent(text: string): string {
  const lines = text.replace(/\n$/, '').split('\n');
  return lines.map((line) => `  ${printable(line)}\n`).join('');
}

function describeCarrier(one: DoctorReport['carriers'][number]): string[] {
  const { carrier, state, connectMs, rttMs, datagramBytes, error } = one;
  if (state === 'absent') return [carrier, 'not tried', 'the ticket has no address for it'];
  if (state === 'blocked') return [carrier, 'blocked', error ?? ''];
  const size = datagramBytes === undefined ? '' : `, datagrams of ${datagramBytes} bytes`;
  return [
    carrier,
    'passes',
    `connected in ${formatMs(connectMs)}, round trip ${formatMs(rttMs)}${size}`,
  ];
}

function describeNat({ kind, mappings, timeout }: NatReport): string {
  const { state, holdsMs, forgottenMs, why } = timeout;
  const times = [
    ...(holdsMs === undefined ? [] : [`held for ${formatMs(holdsMs)}`]),
    ...(forgottenMs === undefined ? [] : [`forgotten after ${formatMs(forgottenMs)}`]),
  ];
  const rows = mappings.map((one) => [
    one.carrier,
    one.local,
    `seen as ${one.seen}`,
    one.isTranslated ? `translated${one.isPortKept ? ', same port' : ''}` : 'as it is',
  ]);
  const detail = times.length > 0 ? times.join(', ') : (why ?? '');
  return `${kind}; idle UDP: ${state}${detail === '' ? '' : ` (${detail})`}\n${formatTable(rows)}`;
}
