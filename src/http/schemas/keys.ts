import Type, { type Static } from 'typebox';
import { namedSchema, oneOf } from './make.js';
import { refTo } from './ref.js';

export const Jwk = namedSchema(
  'Jwk',
  {
    kty: oneOf(['OKP'], 'Key type (RFC 8037).'),
    crv: oneOf(['Ed25519'], 'Curve (RFC 8032).'),
    x: Type.String({ description: 'Public key in base64url.' }),
    kid: Type.String({ description: 'Thumbprint of the key (RFC 7638), as in the header of a handle.' }),
    use: oneOf(['sig'], 'Use of the key: signatures.'),
    alg: oneOf(['EdDSA'], 'Algorithm, as in the header of a handle.'),
  },
  'A public key.',
);

export const JwkSet = namedSchema(
  'JwkSet',
  { keys: Type.Array(refTo(Jwk), { description: 'The current key first.' }) },
  'A JWK set (RFC 7517).',
);
export type JwkSetJson = Static<typeof JwkSet>;
