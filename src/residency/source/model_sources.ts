import { systemEnvironment } from '../../sources/egress/environment.js';
import { Inspector } from '../../sources/formats/inspector.js';
import type { LocalFiles } from '../../sources/local_files.js';
import type { ModelResolver } from '../../sources/model.js';
import { SourceRegistry } from '../../sources/registry.js';
import { SourceResolver } from '../../sources/resolver.js';
import { type HostDirectories, HostFiles } from './host_files.js';
import { type LookupOwner, Lookups } from './lookups.js';

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

/** The sources of models, local and remote, and the checks of their formats. */
export class ModelSources {
  readonly localFiles: LocalFiles;
  readonly inspector: Inspector;
  readonly resolver: ModelResolver;
  readonly deadlineMs: number;
  /** The lookups of commits, and those of plans, which any token can start. */
  readonly commitLookups: Lookups;
  readonly planLookups: Lookups;

  constructor(worker: HostDirectories & LookupOwner, options: ModelSourcesOptions & CommitLimits) {
    const { registry = withoutSources(), sourceHeaderBytes: headerBytes = defaultHeaderBytes } = options;
    this.localFiles = new HostFiles(worker);
    this.inspector = new Inspector({ headerBytes });
    this.resolver = new SourceResolver({ registry, localFiles: this.localFiles, inspector: this.inspector });
    this.commitLookups = new Lookups(worker, options.commitSlots + options.commitQueue);
    this.planLookups = new Lookups(worker, maxPlans);
    this.deadlineMs = (options.pullDeadlineSeconds ?? defaultDeadlineSeconds) * 1000;
  }
}

const withoutSources = (): SourceRegistry =>
  new SourceRegistry(systemEnvironment({ connections: 1, bytesPerSecond: 0, minBytesPerSecond: 0 }), []);
