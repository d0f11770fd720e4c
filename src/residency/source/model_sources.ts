import { systemEnvironment } from '../../sources/egress/environment.js';
import { Inspector } from '../../sources/formats/inspector.js';
import type { ModelResolver } from '../../sources/model.js';
import type { SourceReference } from '../../sources/reference.js';
import { SourceRegistry } from '../../sources/registry.js';
import { SourceResolver } from '../../sources/resolver.js';
import { type HostDirectories, HostFiles } from './host_files.js';
import { type LookupOwner, Lookups } from './lookups.js';
import { isLocal } from './pinned.js';

export interface ModelSourcesOptions {
  /** The remote sources. Default: none, so that only local files are found. */
  readonly registry?: SourceRegistry | undefined;
  /** The most bytes of a header that are read. Default: 64 MiB. */
  readonly sourceHeaderBytes?: number | undefined;
  /** The time limit of a transfer from a source, with all its retries. Default: four hours. */
  readonly pullDeadlineSeconds?: number | undefined;
}

const defaultHeaderBytes = 64 * 1024 * 1024;
const defaultDeadlineSeconds = 4 * 3600;
const maxPlans = 16;

interface CommitLimits {
  readonly commitSlots: number;
  readonly commitQueue: number;
}

/** Finds the files of models, and checks their formats. */
export interface ModelFinder {
  readonly resolver: ModelResolver;
  /** A check keeps one of its few threads while the source is slow. */
  readonly inspector: Inspector;
}

/** The sources of models, local and remote, and the checks of their formats. */
export class ModelSources {
  /** For plans, which any token can start. They must not keep commits from the threads of the checks. */
  readonly forPlans: ModelFinder;
  readonly deadlineMs: number;
  readonly #local: ModelFinder;
  readonly #remote: ModelFinder;
  /** The lookups of commits, and those of plans, which any token can start. */
  readonly commitLookups: Lookups;
  readonly planLookups: Lookups;

  constructor(worker: HostDirectories & LookupOwner, options: ModelSourcesOptions & CommitLimits) {
    const { registry = withoutSources(), sourceHeaderBytes: headerBytes = defaultHeaderBytes } = options;
    const localFiles = new HostFiles(worker);
    const finder = (): ModelFinder => {
      const inspector = new Inspector({ headerBytes });
      return { inspector, resolver: new SourceResolver({ registry, localFiles, inspector }) };
    };
    this.forPlans = finder();
    this.#local = finder();
    this.#remote = finder();
    this.commitLookups = new Lookups(worker, options.commitSlots + options.commitQueue);
    this.planLookups = new Lookups(worker, maxPlans);
    this.deadlineMs = (options.pullDeadlineSeconds ?? defaultDeadlineSeconds) * 1000;
  }

  /** For a commit, a pull or a repair. Local files do not wait for remote sources. */
  of(reference: SourceReference): ModelFinder {
    return isLocal(reference) ? this.#local : this.#remote;
  }
}

const withoutSources = (): SourceRegistry =>
  new SourceRegistry(systemEnvironment({ connections: 1, bytesPerSecond: 0, minBytesPerSecond: 0 }), []);
