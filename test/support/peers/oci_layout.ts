import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ociIndex, ociManifest, type RawDescriptor, sha256 } from '../fake_registry.js';

/** An OCI image layout in a folder, which skopeo reads as `oci:folder:tag`. */
export class OciLayout {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
    writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  }

  addBlob(content: Uint8Array, mediaType: string, annotations?: Readonly<Record<string, string>>): RawDescriptor {
    const digest = sha256(content);
    writeFileSync(join(this.directory, 'blobs', 'sha256', digest.slice(7)), content);
    return { mediaType, digest, size: content.length, ...(annotations === undefined ? {} : { annotations }) };
  }

  /** Makes an artifact the only one of the layout. Returns the digest of its manifest. */
  setArtifact(tag: string, config: RawDescriptor, layers: readonly RawDescriptor[]): string {
    const manifest = this.addBlob(
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })),
      ociManifest,
      { 'org.opencontainers.image.ref.name': tag },
    );
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [manifest] };
    writeFileSync(join(this.directory, 'index.json'), JSON.stringify(index));
    return manifest.digest;
  }
}

const run = promisify(execFile);

/** Runs skopeo with credentials of a file and certificates of a folder. Rejects with its output. */
export async function skopeo(
  {
    authFile,
    certificates,
    directory,
  }: { readonly authFile: string; readonly certificates: string; readonly directory: string },
  from: string,
  to: string,
): Promise<void> {
  const [sourceCertificates, targetCertificates] = [from, to].map((each, side) =>
    each.startsWith('docker:') ? [`--${side === 0 ? 'src' : 'dest'}-cert-dir=${certificates}`] : [],
  );
  const args = ['--insecure-policy', `--tmpdir=${directory}`, 'copy', '--all', '--preserve-digests'];
  const own = [...args, `--authfile=${authFile}`, ...(sourceCertificates ?? []), ...(targetCertificates ?? [])];
  await run('skopeo', [...own, from, to], { env: { PATH: process.env.PATH, HOME: directory } });
}
