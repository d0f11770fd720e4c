import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { root } from '../support/paths.js';

/** A Kubernetes object, as the API server gets it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly spec?: unknown;
  readonly data?: Readonly<Record<string, string>>;
}

export const deploy = join(root, 'deploy');

/** The objects of YAML text. Kubernetes reads YAML 1.1, in which 0440 is octal. */
export const parseManifests = (text: string): Manifest[] =>
  parseAllDocuments(text, { version: '1.1' }).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS() as Manifest;
  });

/** Builds an overlay with additional components, as `kubectl apply -k` would. */
export const build = (folder: string): string =>
  execFileSync('kubectl', ['kustomize', '--load-restrictor', 'LoadRestrictionsNone', folder], { encoding: 'utf8' });

/** The committed files of `deploy/rendered`, by their names, and the examples. */
export function committed(): Map<string, Manifest[]> {
  const files = ['rendered', 'examples'].flatMap((folder) =>
    readdirSync(join(deploy, folder)).map((name) => `${folder}/${name}`),
  );
  return new Map(files.map((file) => [file, parseManifests(readFileSync(join(deploy, file), 'utf8'))]));
}
