import type { Manifest } from './manifests.js';

interface Probe {
  readonly httpGet?: { readonly path: string };
}

interface SecurityContext {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
}

export interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext?: SecurityContext;
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly resources?: { readonly limits?: Readonly<Record<string, unknown>> };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly securityContext?: SecurityContext;
  readonly automountServiceAccountToken?: boolean;
  readonly enableServiceLinks?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly volumes?: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string; readonly type?: string };
    readonly secret?: { readonly defaultMode?: number };
  }[];
}

/** The Pods that an object describes. */
export function podOf({ kind, spec }: Manifest): PodSpec | undefined {
  if (kind === 'Pod') return spec as PodSpec;
  return kind === 'DaemonSet' ? (spec as { template: { spec: PodSpec } }).template.spec : undefined;
}

/** What is wrong with an object, by the rules of docs/kubernetes.md. Empty if nothing is. */
export function violations(manifest: Manifest): string[] {
  const pod = podOf(manifest);
  if (pod === undefined) return [];
  const found: string[] = [];
  const must = (isTrue: boolean, rule: string) => {
    if (!isTrue) found.push(`${manifest.kind} ${manifest.metadata.name}: ${rule}`);
  };
  if (manifest.kind === 'DaemonSet') {
    const { updateStrategy } = manifest.spec as { updateStrategy?: { type: string } };
    must(updateStrategy?.type === 'OnDelete', 'Pods must be replaced only after an operator deletes them');
  }
  must(pod.automountServiceAccountToken === false, 'no service account token');
  must(pod.enableServiceLinks === false, 'no variables of Services');
  must(pod.securityContext?.runAsNonRoot === true, 'not root');
  must(pod.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'the seccomp profile of the runtime');
  for (const { name, secret, hostPath } of pod.volumes ?? []) {
    if (secret !== undefined) must(secret.defaultMode === 0o440, `the secret ${name} must have mode 0440`);
    if (hostPath !== undefined) must(hostPath.type?.startsWith('Directory') ?? false, `${name} must be a directory`);
  }
  for (const container of pod.initContainers ?? []) containerRules(container, true, must);
  for (const container of pod.containers) containerRules(container, false, must);
  for (const container of pod.containers) if (container.name === 'worker') workerRules(pod, container, must);
  return found;
}

type Must = (isTrue: boolean, rule: string) => void;

function containerRules({ name, securityContext: context, ...rest }: Container, isInit: boolean, must: Must): void {
  must(context?.allowPrivilegeEscalation === false, `${name} must not gain privileges`);
  must(context?.readOnlyRootFilesystem === true, `${name} must have a read-only root`);
  must(context?.capabilities?.drop?.includes('ALL') ?? false, `${name} must drop all capabilities`);
  // Root owns hostPath directories, so only root can give them away.
  if (!isInit) must(context?.runAsUser !== 0 && context?.capabilities?.add === undefined, `${name} must not be root`);
  for (const { subPath, mountPath } of rest.volumeMounts ?? [])
    must(subPath === undefined || subPath === 'state', `${mountPath} must be a directory, so that rotation is seen`);
}

function workerRules(pod: PodSpec, { env = [], resources, ...probes }: Container, must: Must): void {
  const seconds = (name: string) => Number(env.find((variable) => variable.name === name)?.value ?? 0);
  const shutdown = seconds('WORKER_SHUTDOWN_DELAY_SECONDS') + seconds('WORKER_DRAIN_SECONDS');
  must((pod.terminationGracePeriodSeconds ?? 0) > shutdown, 'the grace period must exceed delay and drain time');
  must(seconds('WORKER_SHUTDOWN_DELAY_SECONDS') > 0, 'a shutdown delay');
  must(probes.startupProbe?.httpGet?.path === '/livez', 'the startup probe asks /livez');
  must(probes.livenessProbe?.httpGet?.path === '/livez', 'the liveness probe asks /livez');
  must(probes.readinessProbe?.httpGet?.path === '/readyz', 'the readiness probe asks /readyz');
  must(resources?.limits === undefined, 'no limit that would kill or throttle the worker');
}
