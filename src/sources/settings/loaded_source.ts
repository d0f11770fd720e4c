import type { Secret } from '../egress/secret.js';
import type { SourceSettings } from './schema.js';

/** The secrets and certificates of one source. */
export interface SourceFiles {
  /** The token of `token_file`. */
  readonly token?: Secret;
  /** Credentials by registry host, in Basic form. */
  readonly docker?: ReadonlyMap<string, DockerLogin>;
  readonly s3?: S3Credentials;
  /** The authorities of `ca_file` in PEM. */
  readonly ca?: Buffer;
}

export interface DockerLogin {
  readonly username: string;
  readonly password: Secret;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret | undefined;
}

/** A configured source with the contents of the files that its settings name. */
export interface LoadedSource {
  readonly settings: SourceSettings;
  readonly files: SourceFiles;
}
