/** T49 (docs/security.md): what a key allows, and what no key allows unless it says so exactly. */
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/node/index.js';
import { ServiceError } from '../../src/service/index.js';
import { checkForwardGrant } from '../../src/tunnel/index.js';
import { ForwardRules } from '../../src/tunnel/rules.js';

function may(grants: string[], host: string, port: number, address = host): boolean {
  const rules = ForwardRules.of(grants);
  const target = { host, port };
  try {
    rules.checkTarget(target);
  } catch (error) {
    if (error instanceof ServiceError) return false;
    throw error;
  }
  return rules.mayDial(target, address, []);
}

describe('a grant', () => {
  it.each([
    ['forward', 'anything.example', 1, '192.0.2.1'],
    ['forward', '127.0.0.1', 22, undefined],
    ['forward:*:443', 'anything.example', 443, '192.0.2.1'],
    ['forward:*.example:443', 'a.b.example', 443, '192.0.2.1'],
    ['forward:*.example:443', 'A.EXAMPLE.', 443, '192.0.2.1'],
    ['forward:host.example:1-99', 'host.example', 99, '192.0.2.1'],
    ['forward:10.0.0.0/8:22', '10.9.8.7', 22, undefined],
    ['forward:10.0.0.0/8:22', 'inner.example', 22, '10.9.8.7'],
    ['forward:10.0.0.0/8:22', '::ffff:10.9.8.7', 22, undefined],
    ['forward:[fd00::/8]:*', 'fd00::1', 5, undefined],
    ['forward:[fd00::1]:*', 'fd00:0:0::1', 5, undefined],
    ['forward:localhost:*', 'localhost', 80, '127.0.0.1'],
    ['forward:localhost:*', '127.0.0.2', 80, undefined],
    ['forward:localhost:*', 'ip6-localhost', 80, '::1'],
  ])('%s allows %s port %i', (grant, host, port, address) => {
    expect(may([grant], host, port, address)).toBe(true);
  });

  it.each([
    ['files:/srv', 'anything.example', 1, '192.0.2.1'],
    ['forward:', 'anything.example', 1, '192.0.2.1'],
    ['forward:nonsense', 'nonsense', 1, '192.0.2.1'],
    ['forward:*.example:443', 'example', 443, '192.0.2.1'],
    ['forward:*.example:443', 'bad-example', 443, '192.0.2.1'],
    ['forward:*.example:443', 'a.example', 80, '192.0.2.1'],
    ['forward:*.example:443', '192.0.2.1', 443, undefined],
    ['forward:host.example:1-99', 'host.example', 100, '192.0.2.1'],
    ['forward:10.0.0.0/8:22', 'inner.example', 22, '11.0.0.1'],
    ['forward:10.0.0.0/8:22', '::a00:1', 22, undefined],
    ['forward:localhost:*', 'localhost', 80, '192.0.2.1'],
  ])('%s does not allow %s port %i', (grant, host, port, address) => {
    expect(may([grant], host, port, address)).toBe(false);
  });

  it('is one of several, and one that is no pattern spoils none', () => {
    const grants = ['forward:[oops', 'forward:a.example:80', 'forward:b.example:80'];
    expect(may(grants, 'b.example', 80, '192.0.2.1')).toBe(true);
  });

  it.each([
    'forward',
    'forward:*.example.org:443',
    'forward:10.0.0.0/8:22',
    'forward:[fd00::/8]:*',
    'listen',
    'listen:8080',
    'listen:8000-8999',
    'listen:0.0.0.0:8080',
    'listen:*:*',
    'files:/srv',
  ])('%s is checked and right', (grant) => {
    expect(() => checkForwardGrant(grant)).not.toThrow();
  });

  it.each([
    'forward:',
    'forward:host',
    'forward:a*b.example:80',
    'forward:10.0.0.0/33:22',
    'forward:host.example/8:22',
    'forward:host:9-1',
    'forward:host:x',
    'listen:10.0.0.0/8:80',
    'listen:host.example:80',
  ])('%s is checked and wrong', (grant) => {
    expect(() => checkForwardGrant(grant)).toThrow(UsageError);
  });
});

describe('T49: without being named exactly, nobody reaches', () => {
  const addresses = [
    '169.254.169.254',
    '169.254.1.1',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:a9fe:a9fe::1',
    'fe80::1',
    'fe80::1%eth0',
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
    'fd00:ec2::254',
    '100.100.100.200',
    '192.0.0.192',
    '168.63.129.16',
  ];

  it.each(addresses)('%s', (address) => {
    const grants = ['forward', 'forward:169.254.0.0/16:*', 'forward:[fe80::/10]:*'];
    expect(may(grants, address, 80)).toBe(false);
    expect(may(['forward', 'forward:rebound.example:80'], 'rebound.example', 80, address)).toBe(
      false,
    );
  });

  it('and who names the address reaches it', () => {
    expect(may(['forward:169.254.169.254:80'], '169.254.169.254', 80)).toBe(true);
    expect(may(['forward:169.254.169.254:80'], '169.254.169.253', 80)).toBe(false);
  });

  it('what is no address is not dialled', () => {
    const rules = ForwardRules.of(['forward']);
    expect(rules.mayDial({ host: 'a', port: 1 }, '0x7f.1', [])).toBe(false);
  });

  it("the server's own ports, at any of its addresses, whatever is granted", () => {
    const rules = ForwardRules.of(['forward', 'forward:127.0.0.1:7600']);
    const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
    const addresses = ['127.0.0.1', '127.5.5.5', '::1', ...own.map(({ address }) => address)];
    for (const host of addresses) {
      expect(rules.mayDial({ host, port: 7600 }, host, [7600]), host).toBe(false);
    }
    expect(rules.mayDial({ host: 'a', port: 7601 }, '127.0.0.1', [7600])).toBe(true);
    expect(rules.mayDial({ host: 'a', port: 7600 }, '192.0.2.1', [7600])).toBe(true);
  });
});

describe('listening for the other end', () => {
  it.each([
    [['forward'], undefined, 0, true],
    [['forward'], '127.0.0.1', 8080, true],
    [['forward'], undefined, 80, false],
    [['forward'], '*', 8080, false],
    [['forward'], '192.0.2.1', 8080, false],
    [['forward:host:80'], undefined, 8080, false],
    [['listen'], undefined, 80, true],
    [['listen'], '*', 8080, false],
    [['listen:80'], undefined, 80, true],
    [['listen:80'], undefined, 81, false],
    [['listen:192.0.2.1:80'], '192.0.2.1', 80, true],
    [['listen:192.0.2.1:80'], '*', 80, false],
    [['listen:*:8080'], '*', 8080, true],
    [['listen:*:*'], '192.0.2.1', 0, true],
    [['files:/srv'], undefined, 8080, false],
  ])('%j allows %s port %i: %s', (grants, host, port, isAllowed) => {
    const check = () => ForwardRules.of(grants).checkListen({ host, port });
    if (isAllowed) expect(check).not.toThrow();
    else expect(check).toThrow(ServiceError);
  });
});
