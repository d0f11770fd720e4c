import Type, { type Static } from 'typebox';
import { namedSchema, oneOf } from './make.js';
import { refTo } from './ref.js';

export const Jwk = namedSchema(
  'Jwk',
  {
    kty: oneOf(['OKP'], 'RFC 8037.'),
    crv: oneOf(['Ed25519'], 'RFC 8032.'),
    x: Type.String({ description: 'The public key, base64url.' }),
    kid: Type.String({ description: 'Its thumbprint (RFC 7638), as handles name it.' }),
    use: oneOf(['sig'], 'It verifies signatures.'),
    alg: oneOf(['EdDSA'], 'As handles name it.'),
  },
  'A public key.',
);

export const JwkSet = namedSchema('JwkSet', { keys: Type.Array(refTo(Jwk)) }, 'A JWK set (RFC 7517).');
export type JwkSetView = Static<typeof JwkSet>;
