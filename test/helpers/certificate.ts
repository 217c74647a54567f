/** A self-signed certificate, made when it is needed: no key lies in the repository. */
import { generateKeyPairSync, sign } from 'node:crypto';

export interface Certificate {
  /** Both in PEM. */
  readonly key: string;
  readonly cert: string;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const DNS_NAME = 0x82;

/** One value in DER (X.690). */
function der(tag: number, ...contents: (Uint8Array | string)[]): Buffer {
  const body = Buffer.concat(contents.map((one) => Buffer.from(one)));
  const { length } = body;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), body]);
}

function oid(hex: string): Buffer {
  return der(OBJECT_ID, Buffer.from(hex, 'hex'));
}

/** Good for `host` as a name (RFC 5280), with ECDSA over P-256; from 2020 to 2049. */
export function selfSigned(host: string): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = der(SEQUENCE, oid('2a8648ce3d040302'));
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, oid('550403'), der(UTF8_STRING, host))));
  const validity = der(SEQUENCE, der(UTC_TIME, '200101000000Z'), der(UTC_TIME, '491231235959Z'));
  const names = der(OCTET_STRING, der(SEQUENCE, der(DNS_NAME, host)));
  const extensions = der(0xa3, der(SEQUENCE, der(SEQUENCE, oid('551d11'), names)));
  const version3 = der(0xa0, der(INTEGER, Buffer.of(2)));
  const serial = der(INTEGER, Buffer.of(1));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const body = der(
    SEQUENCE,
    ...[version3, serial, ecdsaWithSha256, name, validity, name, spki, extensions],
  );
  const signature = der(BIT_STRING, Buffer.of(0), sign('sha256', body, privateKey));
  const base64 = der(SEQUENCE, body, ecdsaWithSha256, signature).toString('base64');
  const lines = base64.replaceAll(/.{64}/g, '$&\n').trimEnd();
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}
