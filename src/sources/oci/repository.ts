import { createHash } from 'node:crypto';
import { type Digest, digestOf } from '../../seal/digest.js';
import type { Egress } from '../egress/egress.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { SourceRequest, TransferOptions } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { parseUniqueJson } from '../egress/unique_json.js';
import type { DockerLogin } from '../settings/loaded_source.js';
import { type OciDocument, parseDocument } from './manifest.js';
import { indexTypes, manifestTypes } from './media_types.js';
import { RegistryAuth } from './registry_auth.js';

/** As registries accept (OCI distribution specification). */
const maxManifestBytes = 4 * 1024 * 1024;

/** Of 8192 layers with several annotations each. More would occupy the event loop for too long. */
const maxManifestKeys = 65_536;

const accept = [...manifestTypes, ...indexTypes].join(', ');

/** A manifest or an index, and the digest of its bytes. */
export interface PinnedDocument {
  readonly digest: Digest;
  readonly bytes: number;
  readonly document: OciDocument;
}

export interface RepositoryPlace {
  readonly egress: Egress;
  /** The endpoint of the registry. It ends in a slash. */
  readonly endpoint: URL;
  /** A checked name. */
  readonly repository: string;
  readonly login: DockerLogin | undefined;
}

/** One repository of a registry. Its requests share their authorization. */
export class OciRepository {
  readonly egress: Egress;
  readonly #base: URL;
  readonly #auth: RegistryAuth;

  constructor({ egress, endpoint, repository, login }: RepositoryPlace) {
    this.egress = egress;
    this.#base = new URL(`v2/${repository}/`, endpoint);
    this.#auth = new RegistryAuth({ egress, endpoint, repository, login });
  }

  /**
   * The manifest or index of a tag or digest. The digest of its bytes must be the requested one, and the one that the
   * registry states.
   * @throws WorkerError SOURCE_INVALID, SOURCE_NOT_FOUND, and every other SOURCE_ code
   */
  async document(reference: string, options: TransferOptions): Promise<PinnedDocument> {
    const request: SourceRequest = {
      ...this.#request(`manifests/${reference}`),
      headers: { Accept: accept },
      explain: ({ head }) => absence(head, 'The registry has no such repository, or no such tag or digest in it'),
    };
    await this.#auth.begin(options);
    const { value: bytes, head } = await this.egress.bytes(request, maxManifestBytes, options);
    const digest = digestOf(createHash('sha256').update(bytes).digest());
    if (reference.includes(':') && digest !== reference) {
      throw invalid('The registry sent a manifest that differs from the requested digest');
    }
    requireStatedDigest(head, digest, 'manifest');
    const value = parseUniqueJson(bytes, maxManifestKeys);
    if (value === undefined) throw invalid('The registry sent invalid JSON, or JSON with duplicate or too many keys');
    return { digest, bytes: bytes.length, document: parseDocument(value, head.get('content-type')) };
  }

  /** A request for a blob, with its own credential. Every hop of the registry must state no other digest. */
  blob(digest: Digest): SourceRequest {
    const request = this.#request(`blobs/${digest}`);
    return {
      ...request,
      onHop: ({ url, head }) => {
        const isStated = url.origin === request.url.origin && head.status < 400;
        if (isStated) requireStatedDigest(head, digest, 'blob');
      },
      explain: ({ url, head }) =>
        url.origin === request.url.origin
          ? absence(head, 'The registry does not have a blob that its manifest names')
          : undefined,
    };
  }

  #request(path: string): SourceRequest {
    return { role: 'endpoint', url: new URL(this.#base.href + path), credential: this.#auth.credential() };
  }
}

/** @throws SOURCE_INVALID */
function requireStatedDigest(head: ResponseHead, digest: Digest, thing: string): void {
  const stated = head.get('docker-content-digest');
  if (stated !== undefined && stated !== digest) {
    throw invalid(`The registry sent a ${thing} with a Docker-Content-Digest that differs from its digest`);
  }
}

const absence = ({ status }: ResponseHead, message: string): SourceFault | undefined =>
  status === 404 || status === 410 ? new SourceFault('SOURCE_NOT_FOUND', message) : undefined;
