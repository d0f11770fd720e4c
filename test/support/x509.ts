import { type KeyObject, randomBytes, sign } from 'node:crypto';

/** What a certificate states, and the key that signs it. Names are common names. */
export interface CertificateRequest {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  /** An authority signs other certificates. Any other certificate is for 127.0.0.1, as a server and as a client. */
  readonly isAuthority: boolean;
  /** Host names besides 127.0.0.1. */
  readonly hosts?: readonly string[];
}

/** One DER value: tag, length, content. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
const octets = (content: Uint8Array) => der(0x04, content);
const isTrue = der(0x01, Buffer.of(0xff));

/** An object identifier such as `2.5.4.3`. */
function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const base128 = (value: number): number[] =>
    value < 128 ? [value] : [...base128(value >> 7).map((byte) => byte | 0x80), value & 0x7f];
  return der(0x06, Buffer.from([40 * first + second, ...rest.flatMap(base128)]));
}

const name = (common: string) => sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(common)))));
const utcTime = (ms: number) =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().replace(/\D/g, '').slice(2, 14)}Z`));
const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));

const authorityExtensions = sequence(
  // basicConstraints, keyUsage: keyCertSign
  sequence(oid('2.5.29.19'), isTrue, octets(sequence(isTrue))),
  sequence(oid('2.5.29.15'), isTrue, octets(der(0x03, Buffer.of(2, 0x04)))),
);
const leafExtensions = (hosts: readonly string[]) => {
  const names = hosts.map((host) => der(0x82, Buffer.from(host)));
  return sequence(
    // subjectAltName: 127.0.0.1 and the hosts, extendedKeyUsage: serverAuth and clientAuth
    sequence(oid('2.5.29.17'), octets(sequence(der(0x87, Buffer.of(127, 0, 0, 1)), ...names))),
    sequence(oid('2.5.29.37'), octets(sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2')))),
  );
};

/** An X.509 certificate in PEM, valid for two days from an hour ago. The keys are on P-256. */
export function createCertificate(request: CertificateRequest): string {
  const { subject, issuer, publicKey, signingKey, isAuthority, hosts = [] } = request;
  const hourMs = 3_600_000;
  const statement = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1), randomBytes(8)),
    ecdsaWithSha256,
    name(issuer),
    sequence(utcTime(Date.now() - hourMs), utcTime(Date.now() + 48 * hourMs)),
    name(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, isAuthority ? authorityExtensions : leafExtensions(hosts)),
  );
  const signature = der(0x03, Buffer.of(0), sign('sha256', statement, signingKey));
  const lines =
    sequence(statement, ecdsaWithSha256, signature)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
