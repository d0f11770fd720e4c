import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { jwkOf } from '../../../src/seal/jwk.js';
import { readPrivateKey } from '../../../src/seal/key.js';
import { encode, type Forge, type Target } from './forge.js';
import type { Random } from './random.js';

const attacker = readPrivateKey(generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' }));
const rsa: KeyObject = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;

const algorithms = [
  ...['none', 'None', 'NONE', 'nOnE', '', 'HS256', 'HS384', 'HS512', 'hs256', 'RS256', 'PS256', 'ES256', 'EdDSA'],
  ...['Ed25519', 'Ed448', 'eddsa', 'HS256 ', null, 0, true, ['HS256'], ['EdDSA'], { alg: 'HS256' }],
] as const;

const names = [
  ...['', ' ', '.', '../../../dev/null', '/dev/null', "' OR 1=1 --", '__proto__', 'constructor', 'toString', '0'],
  ...['\u0000', 'a'.repeat(4000), null, 0, 1, true, [], {}, ['x']],
] as const;

/** A signature made without the key: missing, empty, or with public data. */
function signature(input: string, target: Target, random: Random): string {
  const bytes = random.of([...target.publicBytes, Buffer.alloc(0), Buffer.alloc(32)]);
  const kinds = [
    () => '',
    () => target.parts[2],
    () =>
      createHmac(random.of(['sha256', 'sha384', 'sha512']), bytes)
        .update(input)
        .digest('base64url'),
    () => sign(null, Buffer.from(input), attacker.privateKey).toString('base64url'),
    () => (random.below(50) === 0 ? sign('sha256', Buffer.from(input), rsa).toString('base64url') : target.parts[2]),
  ] as const;
  return random.of(kinds)();
}

const forged = (header: unknown, payload: string, target: Target, random: Random): string => {
  const input = `${encode(header)}.${payload}`;
  return `${input}.${signature(input, target, random)}`;
};

/** Claims that an attacker would change. */
function altered({ claims }: Target, random: Random): object {
  const changes = [
    { vram_bytes: claims.vram_bytes + 1 + random.below(1000) },
    { digest: `sha256:${random.bytes(32).toString('hex')}` },
    { tree_digest: `sha256:${random.bytes(32).toString('hex')}` },
    { shard_id: `other-${random.below(1000)}` },
    { model_ref: 'another' },
    { simulated: false, driver: 'cuda' },
    { gpu_device: claims.gpu_device + 1 },
    { expected: 'both' },
    { jti: random.bytes(16).toString('hex') },
    { prev: claims.jti },
    { iss: 'worker-9' },
    { boot_id: random.bytes(16).toString('hex') },
    { exp: 1, admin: true },
  ] as const;
  return { ...claims, ...random.of(changes) };
}

/** The same claims in another JSON text. */
function rewritten({ claims }: Target, random: Random): string {
  const entries = Object.entries(claims);
  const shuffled = [...entries].sort(() => random.below(2) - 0.5);
  const [name = '', value] = entries[random.below(entries.length)] ?? [];
  const text = JSON.stringify(claims);
  return random.of([
    JSON.stringify(Object.fromEntries(shuffled.reverse())),
    `${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`,
    `{${JSON.stringify(name)}:"x",${text.slice(1)}`,
    `${text.slice(0, -1)},"__proto__":{}}`,
    JSON.stringify(claims, null, 1 + random.below(4)),
    text.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
    `${text} `,
    `\ufeff${text}`,
  ]);
}

/** Forgeries by an attacker who knows the format and all public data. */
export const signedForgeries: Readonly<Record<string, Forge>> = {
  'another algorithm': (target, random) => {
    const header = { ...target.header, alg: random.of(algorithms) };
    const payload = random.below(2) === 0 ? target.parts[1] : encode(altered(target, random));
    return forged(header, payload, target, random);
  },
  'header parameters that carry a key or change the meaning': (target, random) => {
    const more = random.of([
      { crit: ['exp'] },
      { crit: ['b64'], b64: false },
      { crit: [] },
      { b64: false },
      { jwk: jwkOf(attacker), alg: 'EdDSA' },
      { jwk: jwkOf(attacker), alg: 'EdDSA', kid: attacker.kid },
      { jku: 'https://attacker.example/jwks.json' },
      { x5u: 'https://attacker.example/x5u' },
      { x5c: ['AAAA'] },
      { zip: 'DEF' },
      { cty: 'JWT' },
      { typ: 'JWT' },
      { typ: 'vram-attestation+jws' },
      { typ: undefined },
      { alg: undefined },
      { epk: {}, enc: 'A256GCM' },
    ] as const);
    return forged({ ...target.header, ...more }, encode(altered(target, random)), target, random);
  },
  'other key IDs': (target, random) => {
    const kid = random.of([...names, attacker.kid, random.bytes(8).toString('hex')]);
    return forged({ ...target.header, kid }, encode(altered(target, random)), target, random);
  },
  'a duplicate key ID in the header': (target, random) => {
    const text = JSON.stringify(target.header);
    const header = Buffer.from(`${text.slice(0, -1)},"kid":"${attacker.kid}"}`).toString('base64url');
    const input = `${header}.${encode(altered(target, random))}`;
    return `${input}.${signature(input, target, random)}`;
  },
  'other claims with the real signature': (target, random) =>
    `${target.parts[0]}.${encode(altered(target, random))}.${target.parts[2]}`,
  'the claims reordered, duplicated or encoded differently': (target, random) => {
    const payload = Buffer.from(rewritten(target, random)).toString('base64url');
    return `${target.parts[0]}.${payload}.${target.parts[2]}`;
  },
  'a handle of another worker or an earlier boot, or another statement': (target, random) => {
    const { ofOtherWorker, ofEarlierBoot, attestation, parts } = target;
    const [header = '', payload = '', mark = ''] = random.of([ofOtherWorker, ofEarlierBoot, attestation]).split('.');
    return random.of([
      `${header}.${payload}.${mark}`,
      `${parts[0]}.${payload}.${mark}`,
      `${header}.${parts[1]}.${mark}`,
      `${parts[0]}.${payload}.${parts[2]}`,
      `${header}.${parts[1]}.${parts[2]}x`,
      `${parts[0]}.${parts[1]}.${mark}`,
    ]);
  },
  'signed with the key itself, by a verifier that holds it': (target, random) => {
    const { shared, header } = target;
    if (shared === undefined) return forged(header, encode(altered(target, random)), target, random);
    const payload = random.of([
      encode(altered(target, random)),
      Buffer.from(rewritten(target, random)).toString('base64url'),
    ]);
    const turned = encode({ kid: header.kid, typ: header.typ, alg: header.alg });
    const input = `${random.of([target.parts[0], turned])}.${payload}`;
    return `${input}.${createHmac('sha256', shared.secret).update(input).digest('base64url')}`;
  },
};
