import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { readSetting } from '../../src/config/load.js';
import { settings } from '../../src/config/settings.js';
import { unlessInstalled } from '../support/installed.js';
import { root } from '../support/paths.js';
import { typeErrors } from './check_types.js';
import { build, committed, deploy, type Manifest, parseManifests } from './manifests.js';
import { podOf, violations } from './policy.js';

const kubectl = unlessInstalled('kubectl');
const overlays = readdirSync(join(deploy, 'overlays'));
const components = readdirSync(join(deploy, 'components'));

/** The text of an overlay's kustomization, and of the overlays that it is based on. */
function kustomizationsOf(overlay: string): string {
  const text = readFileSync(join(deploy, 'overlays', overlay, 'kustomization.yaml'), 'utf8');
  const bases = overlays.filter((base) => text.includes(`- ../${base}\n`));
  return [text, ...bases.map(kustomizationsOf)].join('\n');
}

/** An overlay with every component that it does not have yet. */
function everything(overlay: string, folder: string): string {
  const present = kustomizationsOf(overlay);
  const added = components.filter((name) => !present.includes(`components/${name}`));
  const path = (target: string) => relative(folder, join(deploy, target));
  const lines = [
    'apiVersion: kustomize.config.k8s.io/v1beta1',
    'kind: Kustomization',
    `resources: [${path(`overlays/${overlay}`)}]`,
    'components:',
    ...added.map((name) => `  - ${path(`components/${name}`)}`),
  ];
  writeFileSync(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
  return build(folder);
}

const workerOf = (manifests: readonly Manifest[]): Manifest => {
  const worker = manifests.find(({ kind, metadata }) => kind === 'DaemonSet' && metadata.name === 'vram-worker');
  if (worker === undefined) throw new Error('no worker');
  return worker;
};

/** A copy with a text replaced, for planted faults. */
const planted = (manifest: Manifest, from: string, to: string): Manifest => {
  const text = JSON.stringify(manifest);
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`${from} is not in the manifest`);
  return JSON.parse(changed);
};

t.test('the rendered files are what kustomize makes of the overlays', kubectl, async (t) => {
  for (const overlay of overlays) {
    const built = parseManifests(build(join(deploy, 'overlays', overlay)));
    t.same(committed().get(`rendered/${overlay}.yaml`), built, `${overlay}: run deploy/render.sh`);
  }
  t.same(
    readdirSync(join(deploy, 'rendered')).sort(),
    overlays.map((overlay) => `${overlay}.yaml`).sort(),
    'and there are no other files',
  );
});

t.test('every object has the fields of its kind, and no others', async (t) => {
  for (const [file, manifests] of committed()) t.equal(typeErrors(file.replaceAll(/\W/g, '_'), manifests), '', file);
});

t.test('an unknown field and a wrong type are found', async (t) => {
  const worker = workerOf(committed().get('rendered/gpu.yaml') ?? []);
  t.match(typeErrors('unknown_field', [planted(worker, '"enableServiceLinks"', '"enableServiceLink"')]), 'TS2');
  t.match(typeErrors('wrong_type', [planted(worker, '"containerPort":8001', '"containerPort":"8001"')]), 'TS2');
  t.match(typeErrors('wrong_value', [planted(worker, '"type":"OnDelete"', '"type":0')]), 'TS2');
});

t.test('every Pod keeps the rules of the project', async (t) => {
  for (const [file, manifests] of committed()) t.same(manifests.flatMap(violations), [], file);
});

t.test('each rule can fail', async (t) => {
  const worker = workerOf(committed().get('rendered/gpu.yaml') ?? []);
  const faults = {
    OnDelete: 'RollingUpdate',
    '"automountServiceAccountToken":false': '"automountServiceAccountToken":true',
    '"enableServiceLinks":false': '"enableServiceLinks":true',
    '"runAsNonRoot":true': '"runAsNonRoot":false',
    RuntimeDefault: 'Unconfined',
    '"defaultMode":288': '"defaultMode":420',
    '"type":"DirectoryOrCreate"': '"type":"Socket"',
    '"allowPrivilegeEscalation":false': '"allowPrivilegeEscalation":true',
    '"readOnlyRootFilesystem":true': '"readOnlyRootFilesystem":false',
    '"drop":["ALL"]': '"drop":[]',
    '"terminationGracePeriodSeconds":60': '"terminationGracePeriodSeconds":40',
    '"path":"/readyz"': '"path":"/v1/ready"',
    '"path":"/livez"': '"path":"/readyz"',
    '"mountPath":"/tmp"': '"mountPath":"/tmp","subPath":"x"',
    '"requests":{"cpu":"500m"': '"limits":{"cpu":"1"},"requests":{"cpu":"500m"',
  };
  for (const [from, to] of Object.entries(faults)) t.not(violations(planted(worker, from, to)).length, 0, from);
});

t.test('every variable of the worker is a setting with a valid value', async (t) => {
  for (const [file, manifests] of committed()) {
    const variables = manifests.flatMap((manifest) => podOf(manifest)?.containers ?? []).flatMap(({ env = [] }) => env);
    for (const { name, value } of variables.filter((variable) => variable.name.startsWith('WORKER_'))) {
      const setting = Object.values(settings).find((candidate) => candidate.name === name);
      if (setting === undefined) t.fail(`${file}: ${name} is not a setting`);
      else if (value !== undefined) t.doesNotThrow(() => readSetting(setting, { [name]: value }), `${file}: ${name}`);
    }
  }
});

t.test('an overlay takes every component, and the rules hold for all together', kubectl, async (t) => {
  for (const overlay of overlays) {
    const folder = mkdtempSync(join(root, 'test/deploy/generated/'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const manifests = parseManifests(everything(overlay, folder));
    t.equal(typeErrors(`all_${overlay.replaceAll(/\W/g, '_')}`, manifests), '', overlay);
    t.same(manifests.flatMap(violations), [], overlay);
    const namespaced = manifests.filter(({ kind }) => kind !== 'Namespace');
    t.same([...new Set(namespaced.map(({ metadata }) => metadata.namespace))], ['vram-residency'], overlay);
  }
});

t.test('the overlay sim needs no privileges of the namespace', async (t) => {
  const manifests = committed().get('rendered/sim.yaml') ?? [];
  const pods = manifests.flatMap((manifest) => podOf(manifest) ?? []);
  t.ok(pods.length > 0);
  for (const { volumes = [], initContainers = [] } of pods) {
    t.same(
      volumes.filter(({ hostPath }) => hostPath !== undefined),
      [],
    );
    t.same(
      initContainers.filter(({ securityContext: context }) => context?.runAsUser === 0),
      [],
    );
  }
  t.match(manifests[0]?.metadata.labels, { 'pod-security.kubernetes.io/enforce': 'restricted' });
});
