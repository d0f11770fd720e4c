import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { patternBytes } from '../support/bytes.js';
import { unlessInstalled } from '../support/installed.js';
import { tests } from '../support/paths.js';
import { get, upload } from '../support/requests.js';
import { startWorker } from '../support/worker.js';
import { deploy } from './manifests.js';

const promtool = unlessInstalled('promtool');
const monitoring = join(deploy, 'components/monitoring');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations?: { readonly summary: string; readonly description: string };
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

const rules: Rules = parse(readFileSync(join(monitoring, 'rules.yaml'), 'utf8')).spec;
const alerts = rules.groups.flatMap((group) => group.rules);
const unitTests = parse(readFileSync(join(tests, 'deploy/alerts.yaml'), 'utf8'));

/** Runs a command of promtool on the rules. Returns what it wrote; `status` is 0 if it is content. */
function runPromtool(t: Test, command: readonly string[], changed: Rules): { status: number | null; text: string } {
  const folder = mkdtempSync(join(tmpdir(), 'rules-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'rules.yaml'), stringify(changed));
  copyFileSync(join(tests, 'deploy/alerts.yaml'), join(folder, 'alerts.yaml'));
  const { status, stdout, stderr } = spawnSync('promtool', command, { cwd: folder, encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

/** The rules without annotations, whose text the unit tests leave out. */
const withoutAnnotations = ({ groups }: Rules): Rules => ({
  groups: groups.map(({ name, rules: ofGroup }) => ({
    name,
    rules: ofGroup.map(({ annotations: _, ...rule }) => rule),
  })),
});

const testRules = (t: Test, changed: Rules) =>
  runPromtool(t, ['test', 'rules', 'alerts.yaml'], withoutAnnotations(changed));

/** The rules with a text of one alert replaced. */
function planted(alert: string, change: (rule: Rule) => Rule): Rules {
  return {
    groups: rules.groups.map(({ name, rules: ofGroup }) => ({
      name,
      rules: ofGroup.map((rule) => (rule.alert === alert ? change(rule) : rule)),
    })),
  };
}

t.test('promtool accepts the rules, and every alert fires at its fault only', promtool, async (t) => {
  t.match(runPromtool(t, ['check', 'rules', 'rules.yaml'], rules), { status: 0, text: 'SUCCESS' });
  t.match(testRules(t, rules), { status: 0 });
});

t.test('every alert has a test in which it fires, and says what to do', async (t) => {
  const fired = new Set<string>();
  for (const { alert_rule_test: cases } of unitTests.tests)
    for (const { alertname, exp_alerts: expected } of cases) if (expected.length > 0) fired.add(alertname);
  t.same([...fired].sort(), alerts.map(({ alert }) => alert).sort());
  for (const { alert, annotations, labels } of alerts) {
    t.ok(annotations?.summary && annotations.description, alert);
    t.ok(['warning', 'critical'].includes(labels.severity), alert);
  }
});

t.test('a planted fault in any alert fails the tests of promtool', promtool, async (t) => {
  for (const { alert } of alerts) {
    const silent = planted(alert, (rule) => ({ ...rule, expr: `(${rule.expr}) and on () vector(1) == 0` }));
    t.not(testRules(t, silent).status, 0, `${alert} never fires`);
    const always = planted(alert, ({ for: _, ...rule }) => ({ ...rule, expr: 'vector(1)' }));
    t.not(testRules(t, always).status, 0, `${alert} always fires`);
  }
  const invalid = planted('VramWorkerDown', (rule) => ({ ...rule, expr: 'up{' }));
  t.not(runPromtool(t, ['check', 'rules', 'rules.yaml'], invalid).status, 0);
});

/** The names of metrics in a PromQL expression. */
const metricsIn = (expression: string): string[] => [...expression.matchAll(/\bvram_\w+/g)].map(([name]) => name);

t.test('a running worker serves every metric of the alerts and the dashboard, with their labels', async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', patternBytes(5000));
  const { body } = await get(worker, '/metrics');
  const served = new Set(
    [...body.matchAll(/^# TYPE (vram_\w+) (\w+)/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [name, `${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
    ),
  );
  const dashboard = readFileSync(join(monitoring, 'dashboard.json'), 'utf8');
  const used = [...alerts.flatMap(({ expr }) => metricsIn(expr)), ...metricsIn(dashboard)];
  t.ok(used.length > 20);
  for (const name of new Set(used)) t.ok(served.has(name), name);
  for (const label of ['vram_shards{state="corrupt"}', 'vram_scrub_state{state="paused"}']) t.match(body, label);
});

t.test('the dashboard has at most twelve panels, each with a query and a unit', async (t) => {
  const { panels } = JSON.parse(readFileSync(join(monitoring, 'dashboard.json'), 'utf8'));
  t.ok(panels.length <= 12);
  for (const { title, targets, fieldConfig } of panels) {
    t.ok(targets.length > 0 && targets.every(({ expr }: { expr: string }) => expr.includes('node=~"$node"')), title);
    t.ok(fieldConfig.defaults.unit, title);
  }
});
