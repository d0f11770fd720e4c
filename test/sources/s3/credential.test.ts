import t from 'tap';
import { Secret } from '../../../src/sources/egress/secret.js';
import { S3Credential } from '../../../src/sources/s3/credential.js';
import { authorizationOf } from '../../support/sigv4.js';

// The examples of the S3 API reference: "Signature Calculations for the Authorization Header".
const bucket = 'https://examplebucket.s3.amazonaws.com';
const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const atMs = Date.UTC(2013, 4, 24);

const clock = { monotonicMs: () => 0, epochMs: () => atMs, after: () => () => undefined };

const credentialOf = (sessionToken?: string, accessKeyId = 'AKIAIOSFODNN7EXAMPLE') =>
  new S3Credential(
    bucket,
    {
      accessKeyId,
      secretAccessKey: new Secret(secret),
      sessionToken: sessionToken === undefined ? undefined : new Secret(sessionToken),
    },
    { region: 'us-east-1', clock },
  );

t.test('signatures are those of the examples of S3', async (t) => {
  const examples: readonly (readonly [target: string, headers: Record<string, string>, signature: string])[] = [
    ['/test.txt', { Range: 'bytes=0-9' }, 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
    ['/?lifecycle', {}, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
    ['/?max-keys=2&prefix=J', {}, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
  ];
  for (const [target, headers, signature] of examples) {
    const signed = await credentialOf().headersFor({ method: 'GET', url: new URL(bucket + target), headers });
    t.ok(signed.Authorization?.endsWith(`Signature=${signature}`), target);
    t.match(signed, { 'X-Amz-Date': '20130524T000000Z', 'X-Amz-Security-Token': undefined });
  }
});

t.test('the verifier of the tests agrees with the test suite of AWS Signature Version 4', async (t) => {
  const suite = { accessKeyId: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
  const cases: readonly (readonly [target: string, headers: Record<string, string>, signature: string])[] = [
    ['/', {}, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['/?Param2=value2&Param1=value1', {}, 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500'],
    ['/?%E1%88%B4=bar', {}, '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04'],
    [
      '/',
      { 'my-header1': ' value1', 'my-header2': ' "a   b   c"' },
      'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
    ],
  ];
  for (const [target, more, signature] of cases) {
    const date = '20150830T123600Z';
    const headers = new Map(Object.entries({ host: 'example.amazonaws.com', 'x-amz-date': date, ...more }));
    const authorization = authorizationOf(
      { method: 'GET', target, headers },
      { ...suite, region: 'us-east-1', service: 'service' },
      { date, signedHeaders: [...headers.keys()].sort() },
    );
    t.ok(authorization.endsWith(`Signature=${signature}`), target);
  }
});

t.test('a session token is signed', async (t) => {
  const signed = await credentialOf('session').headersFor({ method: 'GET', url: new URL(`${bucket}/x`), headers: {} });
  t.equal(signed['X-Amz-Security-Token'], 'session');
  t.match(signed.Authorization, /SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,/);
});

t.test('keys that a header cannot hold are refused, and not shown', async (t) => {
  for (const credential of [credentialOf('a\nsecret'), credentialOf('secret\u00e9'), credentialOf(undefined, 'a b')]) {
    const request = { method: 'GET', url: new URL(`${bucket}/x`), headers: {} } as const;
    await t.rejects(credential.headersFor(request), {
      code: 'SOURCE_AUTH_FAILED',
      message: 'The S3 credentials have characters that a header cannot hold',
    });
  }
});
