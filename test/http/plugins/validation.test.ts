import t from 'tap';
import { isVisibleText } from '../../../src/seal/visible_text.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

/** Text that looks like another name, or that can change the line that shows it. */
const unsafe: Readonly<Record<string, string>> = {
  'a decomposed letter': 'mode\u0300le',
  'a compatibility form that NFC replaces': '\u212bngstrom',
  'a line feed': 'a\nb',
  'a C1 control': 'a\u0085b',
  'a right-to-left override': 'a\u202eb',
  'a bidirectional isolate': 'a\u2066b\u2069',
  'an Arabic letter mark': 'a\u061cb',
  'a zero-width space': 'a\u200bb',
  'a zero-width joiner': 'a\u200db',
  'a byte order mark': '\ufeffa',
  'a soft hyphen': 'a\u00adb',
  'a word joiner': 'a\u2060b',
  'a tag character': 'a\u{e0041}',
  'a variation selector': 'a\ufe0f',
  'a Hangul filler': 'a\u3164',
  'a grapheme joiner': 'a\u034fb',
  'a line separator': 'a\u2028b',
  'a lone surrogate': 'a\ud800',
};
const safe = ['hf:org/name@rev', 'mod\u00e8le 1', '\u6a21\u578b', '\u0645\u0648\u062f\u0644', '\u{1f600}', 'a b', '~'];

type Send = (worker: TestWorker, text: string) => ReturnType<TestWorker['inject']>;

const json = (worker: TestWorker, url: string, payload: object) => worker.inject({ method: 'POST', url, payload });
const file = { type: 'file', path: 'x' };

/** Each place of a name that the worker signs or shows. */
const places: Readonly<Record<string, Send>> = {
  'model_ref of a plan': (worker, model_ref) =>
    json(worker, '/v1/plan', { model_ref, model_bytes: 1, shard_layout: 'single' }),
  'model_ref of a commit': (worker, model_ref) =>
    json(worker, '/v1/commit', { shard_id: 'a', model_ref, source: file }),
  'shard_id of a commit': (worker, shard_id) => json(worker, '/v1/commit', { shard_id, model_ref: 'm', source: file }),
  'model_ref of an upload': (worker, model_ref) =>
    worker.inject({ method: 'PUT', url: '/v1/commit', query: { shard_id: 'a', model_ref }, payload: 'x' }),
  'shard_id of an upload': (worker, shard_id) =>
    worker.inject({ method: 'PUT', url: '/v1/commit', query: { shard_id, model_ref: 'm' }, payload: 'x' }),
  'model_ref of ready': (worker, model_ref) => worker.inject({ url: '/v1/ready', query: { model_ref } }),
  'nonce of ready': (worker, nonce) => worker.inject({ url: '/v1/ready', query: { nonce } }),
  'model_ref of shards': (worker, model_ref) => worker.inject({ url: '/v1/shards', query: { model_ref } }),
};

t.test('a name in another form than NFC, or with invisible characters, is refused and not rewritten', async (t) => {
  const worker = await startWorker(t);
  for (const [place, send] of Object.entries(places)) {
    for (const [kind, text] of Object.entries(unsafe)) {
      // A query cannot carry a lone surrogate.
      if (kind === 'a lone surrogate' && !/plan|a commit/.test(place)) continue;
      const answer = await send(worker, text);
      t.equal(answer.statusCode, 400, `${place}: ${kind}`);
      t.equal(answer.json().code, 'INVALID_PARAMS');
    }
  }
  const { detail } = (await worker.inject({ url: '/v1/shards', query: { model_ref: 'a\u200bb' } })).json();
  t.equal(detail, 'model_ref must be in Unicode NFC, without control, bidirectional or zero-width characters');
});

t.test('letters of any script are allowed in a name, and are returned unchanged', async (t) => {
  const worker = await startWorker(t);
  for (const [index, model_ref] of safe.entries()) {
    t.ok(isVisibleText(model_ref));
    const query = { shard_id: `s${index}`, model_ref };
    const answer = await worker.inject({ method: 'PUT', url: '/v1/commit', query, payload: 'x' });
    t.equal(answer.statusCode, 201, model_ref);
    t.equal(answer.json().shard.model_ref, model_ref);
    const { shards } = (await worker.inject({ url: '/v1/shards', query: { model_ref } })).json();
    t.equal(shards.length, 1, model_ref);
  }
});

t.test('an integer of a query is decimal digits within its range', async (t) => {
  const { inject } = await startWorker(t);
  for (const limit of ['1', '1000']) t.equal((await inject({ url: `/v1/shards?limit=${limit}` })).statusCode, 200);
  for (const limit of ['0', '1001', '', '01', '+1', '-1', '1.0', '1e2', '0x10', '%201', '1%00', '9007199254740993']) {
    const answer = await inject({ url: `/v1/shards?limit=${limit}` });
    t.equal(answer.statusCode, 400, limit);
    t.equal(answer.json().detail, 'limit must be an integer from 1 to 1000', limit);
  }
  const repeated = await inject({ url: '/v1/shards?limit=1&limit=2' });
  t.match(repeated.json(), { status: 400, detail: 'limit must be an integer from 1 to 1000' });
  const upload = { method: 'PUT', url: '/v1/commit?shard_id=a&model_ref=m&gpu_device=65536', payload: 'x' } as const;
  t.equal((await inject(upload)).json().detail, 'gpu_device must be an integer from 0 to 65535');
});

t.test('a boolean of a query is true or false', async (t) => {
  const { inject } = await startWorker(t);
  t.equal((await inject({ method: 'PUT', url: '/v1/commit?shard_id=a&model_ref=m', payload: 'x' })).statusCode, 201);
  for (const [handles, count] of [
    ['true', 1],
    ['false', 0],
  ] as const) {
    t.equal((await inject({ url: `/v1/ready?handles=${handles}` })).json().handles.length, count);
  }
  for (const handles of ['', '1', '0', 'True', 'no']) {
    const answer = await inject({ url: `/v1/ready?handles=${handles}` });
    t.match(answer.json(), { status: 400, detail: 'handles must be true or false' }, handles);
  }
});

t.test('JSON is not converted', async (t) => {
  const { inject } = await startWorker(t);
  for (const field of [{ gpu_device: '0' }, { flat_digest: 'false' }, { total_shards: '1' }]) {
    const payload = { shard_id: 'a', model_ref: 'm', source: file, ...field };
    t.equal((await inject({ method: 'POST', url: '/v1/commit', payload })).statusCode, 400, JSON.stringify(field));
  }
});
