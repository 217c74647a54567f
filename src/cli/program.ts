/**
 * The verbs and their options. Each verb's code is loaded when it runs, so that `roving connect`,
 * which ssh starts for each connection, does not wait for the others.
 *
 * @module
 */

import { createRequire } from 'node:module';
import { Command, Option } from 'commander';
import {
  addClientOptions,
  addLogOptions,
  addSessionOptions,
  collect,
  EXAMPLE,
} from './program-options.js';

const DESCRIPTION =
  'One connection over every path there is: tunnels, copies and measurements that go on when ' +
  'addresses, networks and sockets come and go.';

export function createProgram(): Command {
  const program = new Command('roving');
  program
    .description(DESCRIPTION)
    .version(readVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .showHelpAfterError('(`--help` tells the options)')
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'roving: ')),
    })
    .addHelpText('after', FIRST_STEPS);
  addTicket(program);
  addServe(program);
  addConnect(program);
  addForward(program);
  addCopy(program);
  addBench(program);
  addStatus(program);
  addDoctor(program);
  return program;
}

const FIRST_STEPS = `
First steps, on the server and then here:
  server$ roving ticket new --keys keys.json --out laptop.ticket --address server.example --allow forward
  server$ roving serve --keys keys.json
  here$   scp server.example:laptop.ticket . && chmod 600 laptop.ticket
  here$   roving bench --ticket laptop.ticket
  here$   ssh -o ProxyCommand='roving connect --ticket laptop.ticket --to %h:%p' server.example

A ticket is a secret like a private key. Exit codes follow sysexits.h. Manual: docs/cli.md`;

export function readVersion(): string {
  const require = createRequire(import.meta.url);
  return (require('../../package.json') as { version: string }).version;
}

function addTicket(program: Command): void {
  const ticket = program
    .command('ticket')
    .helpCommand(false)
    .description('make keys and their tickets, list keys, take them back');
  const fresh = ticket
    .command('new')
    .description('make a key, and the ticket with which a client may come')
    .requiredOption(
      '--keys <file>',
      'key file of the server; made with mode 0600 if it is not there',
    )
    .option('--out <file>', 'where the ticket goes, with mode 0600; - is standard output', '-')
    .option(
      '--address <address>',
      'where clients find the server: HOST[:PORT] for TCP and UDP, or ws://HOST/PATH, ' +
        "wss://HOST/PATH; repeatable (default: this machine's own addresses, port 7600)",
      collect,
    )
    .option('--allow <grants>', 'what it allows: forward, files:DIR (see the manual)', collect)
    .option('--name <name>', 'by which the key is listed and revoked (default: key1, key2...)')
    .option('--expires <when>', 'a time such as 12h or 30d from now, or a date');
  addLogOptions(fresh)
    .addHelpText(
      'after',
      EXAMPLE(
        'roving ticket new --keys keys.json --out laptop.ticket --address server.example \\\n' +
          '    --allow forward,files:/srv/data --name laptop --expires 30d',
      ),
    )
    .action(async (options) => (await import('./verbs/ticket.js')).ticketNew(options));
  const list = ticket
    .command('list')
    .description('list the keys of a key file; never their secrets')
    .requiredOption('--keys <file>', 'key file of the server');
  addLogOptions(list)
    .addHelpText('after', EXAMPLE('roving ticket list --keys keys.json'))
    .action(async (options) => (await import('./verbs/ticket.js')).ticketList(options));
  const revoke = ticket
    .command('revoke')
    .description('take a key back; a running server ends its sessions at once')
    .argument('<name>', 'name of the key')
    .requiredOption('--keys <file>', 'key file of the server');
  addLogOptions(revoke)
    .addHelpText('after', EXAMPLE('roving ticket revoke --keys keys.json laptop'))
    .action(async (name, options) =>
      (await import('./verbs/ticket.js')).ticketRevoke(name, options),
    );
}

function addServe(program: Command): void {
  const serve = program
    .command('serve')
    .description('serve sessions on one port, TCP and UDP, to all who have a ticket')
    .option('--keys <file>', 'key file; read again when it changes, and on SIGHUP')
    .option(
      '--listen <address>',
      'HOST:PORT to listen on; repeatable (default: port 7600 of all addresses)',
      collect,
    )
    .option(
      '--advertise <address>',
      'a further address that clients are told of, as in a ticket; repeatable',
      collect,
    )
    .option(
      '--advertise-only',
      'they shall not join at the address by which they came, as behind a load balancer',
    )
    .option('--tls-cert <file>', 'certificate for wss:// on the same port, PEM')
    .option('--tls-key <file>', 'its private key, PEM')
    .option(
      '--allow <grants>',
      'only without --keys: what the key of this first try allows',
      collect,
    );
  addLogOptions(addSessionOptions(serve), 'info')
    .addHelpText('after', EXAMPLE('roving serve --keys keys.json --listen 0.0.0.0:7600'))
    .action(async (options) => (await import('./verbs/serve.js')).serve(options));
}

function addConnect(program: Command): void {
  const connect = program
    .command('connect')
    .description("join standard input and output to a port at the server's end (ProxyCommand)")
    .requiredOption('--to <host:port>', 'where the server connects to; it resolves the name');
  addClientOptions(connect)
    .addHelpText(
      'after',
      EXAMPLE(
        "ssh -o ProxyCommand='roving connect --ticket laptop.ticket --to %h:%p' server.example",
      ),
    )
    .action(async (options) => (await import('./verbs/connect.js')).connectVerb(options));
}

function addForward(program: Command): void {
  const forward = program
    .command('forward')
    .description('forward ports through a session, as ssh does, and go on when it breaks')
    .option('-L, --local <spec>', '[bind:]port:host:port, from here to there; repeatable', collect)
    .option('-R, --remote <spec>', '[bind:]port:host:port, from there to here; repeatable', collect)
    .option(
      '-D, --dynamic <spec>',
      '[bind:]port, a SOCKS5, SOCKS4a and HTTP CONNECT proxy; repeatable',
      collect,
    )
    .option(
      '-g, --gateway-ports',
      'let other machines use -L and -D, if they are bound to more than loopback',
    )
    .option(
      '--proxy-login <file>',
      '-D asks for the user and password in it, user:password, and may then be bound to any address',
    );
  addClientOptions(forward)
    .addHelpText(
      'after',
      EXAMPLE('roving forward --ticket laptop.ticket -L 8080:localhost:80 -D 1080'),
    )
    .action(async (options) => (await import('./verbs/forward.js')).forwardVerb(options));
}

function addCopy(program: Command): void {
  const copy = program
    .command('cp')
    .description('copy files and folders, either way; goes on where it was when it is run again')
    .argument('<paths...>', 'sources, then the destination; the far side is written remote:PATH')
    .option('-u, --update', 'leave files alone that are there with the same size and time')
    .option('-r', 'accepted as by scp: folders are always copied with what is in them')
    .option('-p', 'accepted as by scp: modes and times are always kept');
  addClientOptions(copy)
    .addHelpText('after', EXAMPLE('roving cp --ticket laptop.ticket photos remote:backup/'))
    .action(async (paths, options) => (await import('./verbs/cp.js')).copyVerb(paths, options));
}

function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure what a session to the server can do: rates, gaps, round trips, shares')
    .option('--seconds <number>', 'how long each direction is measured', '5');
  addClientOptions(bench)
    .addHelpText('after', EXAMPLE('roving bench --ticket laptop.ticket --seconds 10 --json'))
    .action(async (options) => (await import('./verbs/bench.js')).benchVerb(options));
}

function addStatus(program: Command): void {
  const status = program
    .command('status')
    .description('tell what the servers and clients of this user are doing');
  addLogOptions(status)
    .addHelpText('after', EXAMPLE('roving status --json'))
    .action(async (options) => (await import('./verbs/status.js')).statusVerb(options));
}

function addDoctor(program: Command): void {
  const doctor = program
    .command('doctor')
    .description('tell what this network lets pass, and which paths would be used and why')
    .addOption(
      new Option(
        '--nat-seconds <number>',
        'how long a NAT is watched for forgetting; 0: not',
      ).default('12'),
    );
  addClientOptions(doctor)
    .addHelpText('after', EXAMPLE('roving doctor --ticket laptop.ticket --json'))
    .action(async (options) => (await import('./verbs/doctor.js')).doctorVerb(options));
}
