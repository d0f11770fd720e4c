import { head } from '../../support/raw_http.js';
import { token } from '../../support/worker.js';

/** Bytes that a hostile or broken client or proxy may send. */
export interface Case {
  readonly name: string;
  readonly text: string;
  /** The expected statuses, in order. If absent, every answer must be a refusal. */
  readonly statuses?: readonly number[];
}

/** The hidden request that every case tries to execute. */
const hidden = head('DELETE /v1/shards/victim');
const upload = 'PUT /v1/commit?shard_id=a&model_ref=m&vram_bytes=3';
const plan = 'POST /v1/plan';
const chunks = '3\r\nabc\r\n0\r\n\r\n';
const auth = `Authorization: Bearer ${token}\r\n`;
const json = 'Content-Type: application/json\r\n';

/** A request with these lines after a valid start. */
const raw = (lines: string, body = '', target = upload) =>
  `${target} HTTP/1.1\r\nHost: test\r\n${auth}${lines}\r\n${body}`;

const refused = (name: string, text: string): Case => ({ name, text: text + hidden });
/** A request with an unambiguous end, without the hidden request after it. */
const refusedAlone = (name: string, text: string): Case => ({ name, text });
const answered = (name: string, text: string, ...statuses: number[]): Case => ({ name, text, statuses });

const lengths: readonly Case[] = [
  ...['+3', '-3', '0x3', '3,3', '3, 3', '3 3', '3;', '3.0', '3e0', '٣', '"3"', 'three', ''].map((value) =>
    refused(`Content-Length: ${value}`, raw(`Content-Length: ${value}\r\n`, 'abc')),
  ),
  refused('a length beyond 2^64', raw('Content-Length: 18446744073709551619\r\n', 'abc')),
  refused('two lengths that differ', raw('Content-Length: 3\r\nContent-Length: 0\r\n', 'abc')),
  refused('two lengths that agree', raw('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc')),
  refused('a length without its colon', raw('Content-Length 3\r\n', 'abc')),
  refused('a length with a space before its colon', raw('Content-Length : 3\r\n', 'abc')),
  refusedAlone('a length that is not the one in the query', raw('Content-Length: 4\r\n', 'abcd')),
  refusedAlone('no length at all', raw('')),
];

const codings: readonly Case[] = [
  refused('CL.TE', raw('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', chunks)),
  refused('TE.CL', raw('Transfer-Encoding: chunked\r\nContent-Length: 3\r\n', chunks)),
  refused('CL.TE, length 0', raw('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', chunks)),
  refused('TE.TE', raw('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', chunks)),
  refused('TE.TE the other way round', raw('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', chunks)),
  refused('chunked twice', raw('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', chunks)),
  ...[
    'identity',
    'gzip',
    'xchunked',
    'chunkedx',
    'chunked, identity',
    'identity, chunked',
    'gzip, chunked',
    'chunked, chunked',
    'chunked;q=1',
    '"chunked"',
    'chunked,',
    ',chunked',
    '\x0bchunked',
    '',
  ].map((value) => refused(`Transfer-Encoding: ${value}`, raw(`Transfer-Encoding: ${value}\r\n`, chunks))),
  refused('a coding with a space before its colon', raw('Transfer-Encoding : chunked\r\n', chunks)),
  refused('a coding on a folded line', raw('Transfer-Encoding:\r\n chunked\r\n', chunks)),
  refused('a coding behind a bare LF', raw('X: a\nTransfer-Encoding: chunked\r\n', chunks)),
  refused('a coding behind a bare CR', raw('X: a\rTransfer-Encoding: chunked\r\n', chunks)),
  refused('a coding in JSON', raw(`${json}Transfer-Encoding: gzip, chunked\r\n`, chunks, plan)),
  refused('chunks in HTTP/1.0', raw('Transfer-Encoding: chunked\r\n', chunks).replace('HTTP/1.1', 'HTTP/1.0')),
  ...['gzip', 'identity', 'br', ''].map((value) =>
    refused(`Content-Encoding: ${value}`, raw(`Content-Length: 3\r\nContent-Encoding: ${value}\r\n`, 'abc')),
  ),
  answered('chunked in capitals', raw('Transfer-Encoding: CHUNKED\r\n', chunks), 201),
];

const chunked = (body: string) => raw('Transfer-Encoding: chunked\r\n', body);
const chunkings: readonly Case[] = [
  ...['0x3', '-3', '+3', ' 3', '3 3', '3x', '"3"', '', 'g', '３'].map((size) =>
    refused(`a chunk of size ${size}`, chunked(`${size}\r\nabc\r\n0\r\n\r\n`)),
  ),
  refused('a chunk size that overflows', chunked('10000000000000003\r\nabc\r\n0\r\n\r\n')),
  refused('a chunk size that is huge', chunked('7fffffffffffffff\r\nabc\r\n0\r\n\r\n')),
  refused('a chunk size before a bare LF', chunked('3\nabc\r\n0\r\n\r\n')),
  refused('a chunk that is longer than it says', chunked('2\r\nabc\r\n0\r\n\r\n')),
  refused('a chunk that ends in a bare LF', chunked('3\r\nabc\n0\r\n\r\n')),
  refused('a chunk without its end', chunked('3\r\nabc0\r\n\r\n')),
  refused('an extension with a bare LF', chunked('3;a\nb\r\nabc\r\n0\r\n\r\n')),
  refused('an extension without end', chunked(`3;${'x'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`)),
  refusedAlone('more than was declared', chunked('4\r\nabcd\r\n0\r\n\r\n')),
  refusedAlone('less than was declared', chunked('2\r\nab\r\n0\r\n\r\n')),
  refused('trailers without end', chunked(`3\r\nabc\r\n0\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)),
  refused('a request where trailers stand', chunked(`3\r\nabc\r\n0\r\n${hidden}`)),
  answered('an extension', chunked('3;name=value\r\nabc\r\n0\r\n\r\n'), 201),
  answered('a last chunk of many zeros', chunked('3\r\nabc\r\n0000\r\n\r\n'), 201),
  answered('a trailer, which means nothing', chunked('3\r\nabc\r\n0\r\nX: y\r\n\r\n'), 201),
  refused('a trailer that names a length', chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n')),
];

const good = 'Content-Length: 3\r\n';
const heads: readonly Case[] = [
  refused('all lines end in a bare LF', raw(good, 'abc').replaceAll('\r\n', '\n')),
  refused('the request line ends in a bare LF', raw(good, 'abc').replace('\r\n', '\n')),
  refused('the head ends in a bare LF', raw(good, 'abc').replace('\r\n\r\n', '\r\n\n')),
  refused('a folded line', raw(`X: a\r\n b\r\n${good}`, 'abc')),
  refused('a first line that is folded', raw(good, 'abc').replace('Host', ' Host')),
  refused('a name with a space', raw(`X Y: a\r\n${good}`, 'abc')),
  refused('a name with a NUL', raw(`X\0: a\r\n${good}`, 'abc')),
  refused('a value with a NUL', raw(`X: a\0b\r\n${good}`, 'abc')),
  refused('a name that is empty', raw(`: a\r\n${good}`, 'abc')),
  refused('a line that is no header', raw(`nonsense\r\n${good}`, 'abc')),
  refused('a head without end', raw(`X: ${'x'.repeat(20_000)}\r\n${good}`, 'abc')),
  answered('many headers, and the one that counts at their end', raw(`${'X: y\r\n'.repeat(190)}${good}`, 'abc'), 201),
  refused('more headers than 200', raw(`${'X: y\r\n'.repeat(200)}${good}`, 'abc')),
  refusedAlone(
    'many headers, and one that is refused at their end',
    raw(`${good}${'X: y\r\n'.repeat(190)}Content-Encoding: gzip\r\n`, 'abc'),
  ),
];

const put = (line: string) => raw(good, 'abc').replace(`${upload} HTTP/1.1`, line);
const [method = '', target = ''] = upload.split(' ');
const lines: readonly Case[] = [
  ...['HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1,1', 'HTTP/1.10', 'XHTTP/1.1', ''].map((version) =>
    refused(`version ${version}`, put(`${upload} ${version}`)),
  ),
  answered('two spaces in the request line', put(`${method}  ${target} HTTP/1.1`), 201),
  refused('a tab in the request line', put(`${method}\t${target} HTTP/1.1`)),
  refused('a space in the target', put(`${method} /v1/com mit${target.slice(10)} HTTP/1.1`)),
  refused('a target that is not ASCII', put(`${method} /v1/comm\u00efit HTTP/1.1`)),
  answered('a target in absolute form', put(`${method} http://other${target} HTTP/1.1`), 201),
  refused('a target that names a port alone', put(`CONNECT test:443 HTTP/1.1`)),
  refused('a target that is everything', put(`OPTIONS * HTTP/1.1`)),
  refused('a path that climbs', put(`${method} /docs/../v1/commit${target.slice(10)} HTTP/1.1`)),
  refused('a path with two slashes', put(`${method} /${target} HTTP/1.1`)),
  refused('a path in capitals', put(`${method} ${target.replace('v1', 'V1')} HTTP/1.1`)),
  refused('a path with a fragment', put(`${method} ${target}#x HTTP/1.1`)),
  refused('a path with an encoded CRLF', put(`${method} ${target.replace('m&', 'm%0d%0aX:%20y&')} HTTP/1.1`)),
  refused('a method in small letters', put(`put ${target} HTTP/1.1`)),
  refused('an unknown method', put(`GRAB ${target} HTTP/1.1`)),
  refused('the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`),
  refused('a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
];

const hosts: readonly Case[] = [
  refused('no Host', raw(good, 'abc').replace('Host: test\r\n', '')),
  refused('two Hosts', raw(`Host: other\r\n${good}`, 'abc')),
  refused('a Host that is a list', raw(good, 'abc').replace('Host: test', 'Host: a, b')),
  refused('a Host with a space', raw(good, 'abc').replace('Host: test', 'Host: a b')),
  refused('a Host with a user', raw(good, 'abc').replace('Host: test', 'Host: a@b')),
  refused('a Host with a path', raw(good, 'abc').replace('Host: test', 'Host: a/b')),
];

const expectations: readonly Case[] = [
  ...['100-continue, x', '200-ok', 'x', '100-continue;q=1', '100-continue, 100-continue'].map((value) =>
    refused(`Expect: ${value}`, raw(`Expect: ${value}\r\n${good}`, 'abc')),
  ),
  answered('Expect in capitals', raw(`Expect: 100-CONTINUE\r\n${good}`, 'abc'), 100, 201),
];

const connections: readonly Case[] = [
  refused('two tokens', raw(`Authorization: Bearer other\r\n${good}`, 'abc')),
  refused('no token', raw(good, 'abc').replace(auth, '')),
  {
    name: 'what follows a request that closes',
    text: raw(`Connection: close\r\n${good}`, 'abc') + hidden,
    statuses: [201],
  },
  answered(
    'an upgrade to HTTP/2, passed over',
    raw(`Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n${good}`, 'abc'),
    201,
  ),
  answered(
    'an upgrade to a web socket, passed over',
    raw(`Connection: Upgrade\r\nUpgrade: websocket\r\n${good}`, 'abc'),
    201,
  ),
  answered('a header of one underscore, which is another header', raw(`Content_Length: 99\r\n${good}`, 'abc'), 201),
  answered('empty lines before a request', `\r\n\r\n${raw(good, 'abc')}`, 201),
];

export const corpus: readonly Case[] = [
  ...lengths,
  ...codings,
  ...chunkings,
  ...heads,
  ...lines,
  ...hosts,
  ...expectations,
  ...connections,
];
