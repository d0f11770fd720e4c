import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { TusClient, uploadOf } from '../../support/tus.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const figures = async (worker: TestWorker): Promise<string> => (await get(worker, '/metrics')).body;

/** The value of the sample with this name and these labels. */
function sample(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? Number.NaN : Number(line.slice(name.length + 1));
}

t.test('open uploads are counted by state', async (t) => {
  const worker = await startWorker(t);
  const open = async () => {
    const text = await figures(worker);
    return ['idle', 'receiving', 'sealing'].map((state) => sample(text, `vram_uploads_open{state="${state}"}`));
  };
  t.same(await open(), [0, 0, 0]);
  const client = new TusClient(worker);
  const url = uploadOf(await client.create(5000, { shard_id: 'u', model_ref: 'm' }));
  t.same(await open(), [1, 0, 0]);
  await client.send(url, 0, patternBytes(5000));
  t.same(await open(), [0, 0, 0], 'a sealed upload is not open');
});

t.test('commits, verifications and memory are counted', async (t) => {
  const worker = await startWorker(t);
  const before = await figures(worker);
  t.equal(sample(before, 'vram_shards{state="sealed"}'), 0);
  await upload(worker, 'a', patternBytes(5000));
  await post(worker, '/v1/shards/a/verify');
  const after = await figures(worker);
  t.equal(sample(after, 'vram_shards{state="sealed"}'), 1);
  t.equal(sample(after, 'vram_commit_bytes_total'), 5000);
  t.equal(sample(after, 'vram_verify_bytes_total'), 5000);
  t.equal(sample(after, 'vram_commit_duration_seconds_count{outcome="ok"}'), 1);
  t.equal(sample(after, 'vram_verify_duration_seconds_count{outcome="ok"}'), 1);
  t.equal(sample(after, 'vram_commits_waiting'), 0);
  const { devices } = (await get(worker, '/v1/devices')).json();
  for (const { gpu_device: device, total_bytes } of devices) {
    const bytes = ['used', 'reserved', 'free'].map((state) =>
      sample(after, `vram_device_bytes{gpu_device="${device}",state="${state}"}`),
    );
    t.equal(
      bytes.reduce((sum, value) => sum + value, 0),
      total_bytes,
      'the states add up to the memory of the device',
    );
  }
  await remove(worker, '/v1/shards/a');
  t.equal(sample(await figures(worker), 'vram_shards{state="sealed"}'), 0);
});

t.test('the readiness of the worker and of its models is a metric', async (t) => {
  const worker = await startWorker(t);
  const before = await figures(worker);
  t.match(before, /^vram_worker_info\{worker_id="[^"]+",version="\d+\.\d+\.\d+",driver="simulated"\} 1$/m);
  const bootedAt = sample(before, 'vram_boot_timestamp_seconds');
  t.ok(bootedAt > 0 && bootedAt <= Date.now() / 1000);
  t.equal(sample(before, 'vram_ready'), 0);
  t.equal(sample(before, 'vram_audit_writable'), 1);
  t.equal(sample(before, 'vram_lost_shards'), 0);
  await upload(worker, 'a', patternBytes(10), { model_ref: 'a' });
  await upload(worker, 'b', patternBytes(10), { model_ref: 'b', shard_index: '0', total_shards: '2' });
  const after = await figures(worker);
  t.equal(sample(after, 'vram_ready'), 1);
  t.equal(sample(after, 'vram_models{ready="true"}'), 1);
  t.equal(sample(after, 'vram_models{ready="false"}'), 1);
});

t.test('failures are counted by operation and code, requests by route', async (t) => {
  const worker = await startWorker(t);
  await get(worker, '/v1/shards/absent');
  await upload(worker, 'a', patternBytes(10), { expected_digest: '0'.repeat(64) });
  await get(worker, '/v1/some/secret/path');
  const text = await figures(worker);
  t.equal(sample(text, 'vram_failures_total{operation="getShard",code="NOT_FOUND"}'), 1);
  t.equal(sample(text, 'vram_failures_total{operation="uploadShard",code="DIGEST_MISMATCH"}'), 1);
  const route = 'method="GET",route="/v1/shards/:shard_id",status="404"';
  t.equal(sample(text, `vram_http_request_duration_seconds_count{${route}}`), 1);
  t.notMatch(text, /absent|secret/, 'no label has a value from a client');
  t.match(text, /^(?:(?:# (?:HELP|TYPE) )?vram_.*\n|\n)+$/, 'every metric has the prefix');
});

t.test('two workers in one process have separate counts', async (t) => {
  const first = await startWorker(t);
  const second = await startWorker(t);
  await get(first, '/v1/shards/absent');
  t.match(await figures(first), 'getShard');
  t.notMatch(await figures(second), 'getShard');
});
