import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, remove, upload } from '../../support/requests.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker } from '../../support/worker.js';

const readToken = 'read-token-0123456789abcdef0123456789';

t.test('the operator reads the audit log, whose bytes are those of the file', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const readTokenFile = join(directory, 'read-token');
  writeFileSync(readTokenFile, readToken, { mode: 0o600 });
  const env = { WORKER_AUDIT_LOG: path, WORKER_READ_TOKEN_FILE: readTokenFile };
  const worker = await startWorker(t, { env });
  await upload(worker, 'a', patternBytes(5000), { model_ref: '<b>"é\\' });
  await remove(worker, '/v1/shards/a');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n').reverse();
  const page = await get(worker, '/v1/audit');
  t.equal(page.body, `{"entries":[${lines.join()}],"next_before_seq":null}`);
  const { entries } = page.json();
  t.equal(
    entries[0].previous,
    createHash('sha256')
      .update(lines[1] ?? '')
      .digest('hex'),
  );

  const first = await get(worker, '/v1/audit?limit=1');
  t.match(first.json(), { entries: [{ event: 'VramDeallocated' }], next_before_seq: lines.length });
  const second = await get(worker, `/v1/audit?limit=1&before_seq=${first.json().next_before_seq}`);
  t.same(second.json().entries, [JSON.parse(lines[1] ?? '')]);

  const known = await worker.inject({ url: '/v1/audit', headers: { 'if-none-match': page.headers.etag } });
  t.match(known, { statusCode: 304, body: '' });
  t.equal(readFileSync(path, 'utf8').split('\n').length, lines.length + 1, 'reading does not write');

  const asReader = { authorization: `Bearer ${readToken}` };
  t.match((await worker.app.inject({ url: '/v1/audit', headers: asReader })).json(), {
    status: 403,
    code: 'FORBIDDEN',
  });
  t.match((await worker.app.inject({ url: '/v1/audit' })).json(), { status: 401 });
  for (const query of ['limit=0', 'limit=501', 'before_seq=0', 'before_seq=x', 'after=1']) {
    t.match((await get(worker, `/v1/audit?${query}`)).json(), { code: 'INVALID_PARAMS' }, query);
  }
});

t.test('without an audit log, or with a damaged one, the error says so', async (t) => {
  const none = await startWorker(t);
  const refused = { status: 503, code: 'AUDIT_UNAVAILABLE', retriable: false };
  const missing = { status: 404, code: 'NOT_FOUND', detail: /WORKER_AUDIT_LOG/ };
  t.match((await get(none, '/v1/audit')).json(), missing);
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  writeFileSync(path, readFileSync(path, 'utf8').replace('WorkerStarted', 'WorkerStopped'));
  t.match((await get(worker, '/v1/audit')).json(), { ...refused, detail: /damaged/ });
});
