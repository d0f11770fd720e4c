import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { unlessInstalled } from '../support/installed.js';
import { root } from '../support/paths.js';
import { startWorker } from '../support/worker.js';

const needed = unlessInstalled('promtool');

t.test('promtool finds nothing to improve in the metrics', needed, async (t) => {
  const { inject } = await startWorker(t);
  await inject({ method: 'PUT', url: '/v1/commit?shard_id=a&model_ref=m', payload: patternBytes(5000) });
  await inject({ method: 'POST', url: '/v1/shards/a/verify' });
  await inject({ url: '/v1/shards/none' });
  const { payload } = await inject({ url: '/metrics' });
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: payload, encoding: 'utf8' });
  t.match({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
});

t.test('promtool accepts the configuration of Prometheus', needed, async (t) => {
  t.match(
    execFileSync('promtool', ['check', 'config', join(root, 'ops/prometheus.yml')], { encoding: 'utf8' }),
    'SUCCESS',
  );
});
