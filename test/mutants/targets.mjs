/**
 * The files under mutation, and the tests that must detect their mutants. Put fast tests first, because the first failing
 * test ends the run of a mutant.
 */
const handles = [
  'test/seal/handle.test.ts',
  'test/seal/key.test.ts',
  'test/seal/ed25519.test.ts',
  'test/residency/handle/check.test.ts',
];
const rotation = [
  'test/residency/state/keyring.test.ts',
  'test/residency/handle/key_rotation.test.ts',
  'test/residency/handle/key_grace.test.ts',
  'test/http/routes/keys.test.ts',
];
const storage = ['test/storage/append_file.test.ts', 'test/storage/group_commit.test.ts'];
const auditLog = [
  'test/audit/log/batch.test.ts',
  'test/audit/log/rotation.test.ts',
  'test/audit/log/tail.test.ts',
  'test/audit/writer.test.ts',
  'test/audit/log/log.test.ts',
];
const auditVerify = [
  'test/audit/checkpoint.test.ts',
  'test/audit/verify/first_entry.test.ts',
  'test/audit/verify/checkpoints.test.ts',
  'test/audit/verify/chain.test.ts',
  'test/audit/verify/verify_log.test.ts',
];
const accounts = [
  'test/residency/state/device_memory.test.ts',
  'test/residency/state/device_memory_histories.test.ts',
  'test/residency/state/reservations.test.ts',
];
const manifest = [
  'test/residency/state/manifest_entry.test.ts',
  'test/residency/state/manifest_journal.test.ts',
  'test/residency/state/manifest_changes.test.ts',
  'test/residency/state/manifest.test.ts',
];
const integrity = [
  'test/residency/integrity/verifier.test.ts',
  'test/residency/integrity/verifier_histories.test.ts',
  'test/http/routes/ready_reader.test.ts',
  'test/residency/integrity/verify.test.ts',
];
const scrubber = [
  'test/residency/integrity/scrub_schedule.test.ts',
  'test/residency/integrity/rate.test.ts',
  'test/residency/integrity/throttle.test.ts',
  'test/residency/integrity/scrubber_calls.test.ts',
  'test/residency/integrity/scrubber.test.ts',
];
const repair = [
  'test/residency/integrity/repair_limit.test.ts',
  'test/residency/integrity/repair.test.ts',
  'test/residency/integrity/repair_queue.test.ts',
];
const secretFiles = ['test/config/private_file.test.ts', 'test/config/load.test.ts'];
const registries = [
  'test/sources/oci/registry_auth.test.ts',
  'test/sources/oci/oci_resolver.test.ts',
  'test/sources/hostile/registries.test.ts',
];
const groups = [
  'test/residency/commit/shard_group.test.ts',
  'test/http/routes/pulls.test.ts',
  'test/faults/shard_group.test.ts',
];
const seals = [
  ...groups,
  'test/residency/commit/shard_commit.test.ts',
  'test/http/routes/ready.test.ts',
  'test/residency/handle/key_rotation.test.ts',
  'test/residency/keep/readopt.test.ts',
];
const uploads = ['test/uploads/uploads.test.ts', 'test/uploads/deadline.test.ts', 'test/http/routes/uploads.test.ts'];
const addresses = [
  'test/sources/egress/address_rules.test.ts',
  'test/sources/egress/policy.test.ts',
  'test/sources/egress/url_rules.test.ts',
  'test/sources/hostile/ssrf.test.ts',
];
const digestRules = ['test/http/routes/commit_source.test.ts', 'test/http/routes/pulls.test.ts'];

export const targets = {
  'src/seal/jws.ts': handles,
  'src/seal/handle.ts': handles,
  'src/seal/key.ts': [...handles, ...rotation],
  'src/seal/jwk.ts': ['test/seal/ed25519.test.ts'],
  'src/residency/state/keyring.ts': rotation,
  'src/residency/handle/key_rotation.ts': rotation,
  'src/residency/handle/check.ts': [
    'test/residency/handle/check.test.ts',
    'test/residency/integrity/verify.test.ts',
    ...rotation,
  ],
  'src/http/plugins/tokens.ts': ['test/http/plugins/auth.test.ts', 'test/system/process/reload.test.ts'],
  'src/http/plugins/auth.ts': ['test/http/plugins/auth.test.ts', 'test/http/routes/plan.test.ts'],
  'src/residency/state/device_memory.ts': accounts,
  'src/residency/state/reservations.ts': accounts,
  'src/storage/append_file.ts': [...storage, ...auditLog],
  'src/storage/group_commit.ts': [...storage, ...auditLog],
  'src/audit/writer.ts': [...auditLog, 'test/audit/worker/outage.test.ts', 'test/audit/worker/events.test.ts'],
  'src/audit/log/batch.ts': auditLog,
  'src/audit/verify/chain.ts': auditVerify,
  'src/audit/checkpoint.ts': auditVerify,
  'src/audit/entry.ts': auditVerify,
  'src/audit/auth_failures.ts': ['test/audit/auth_failures.test.ts'],
  'src/audit/verify/read_lines.ts': auditVerify,
  'src/audit/log/log.ts': auditLog,
  'src/audit/log/rotation.ts': auditLog,
  'src/audit/log/tail.ts': auditLog,
  'src/audit/verify/verify_log.ts': auditVerify,
  'src/residency/integrity/damage.ts': ['test/residency/integrity/damage.test.ts'],
  'src/residency/integrity/verifier.ts': integrity,
  'src/residency/integrity/verification.ts': integrity,
  'src/residency/integrity/verify.ts': integrity,
  'src/residency/integrity/rate.ts': scrubber,
  'src/residency/integrity/throttle.ts': scrubber,
  'src/residency/integrity/scrub_schedule.ts': scrubber,
  'src/residency/integrity/scrubber.ts': scrubber,
  'src/residency/integrity/repair.ts': repair,
  'src/residency/integrity/repair_queue.ts': repair,
  'src/residency/state/driver_health.ts': ['test/residency/state/driver_health.test.ts'],
  'src/residency/state/manifest.ts': manifest,
  'src/residency/state/manifest_entry.ts': manifest,
  'src/residency/state/manifest_file.ts': manifest,
  'src/residency/state/manifest_lease.ts': manifest,
  'src/residency/state/manifest_journal.ts': manifest,
  'src/residency/state/manifest_reader.ts': manifest,
  'src/residency/state/self_tests.ts': ['test/residency/state/self_tests.test.ts'],
  'src/residency/state/shards.ts': ['test/residency/state/shards.test.ts', 'test/residency/state/shard_pages.test.ts'],
  'src/residency/plan/placement.ts': ['test/residency/plan/placement.test.ts', 'test/residency/plan/plan.test.ts'],
  'src/residency/commit/retry_comparison.ts': ['test/residency/commit/retry_comparison.test.ts'],
  'src/vram/streaming_digest.ts': ['test/vram/streaming_digest.test.ts'],
  'src/storage/file_calls.ts': ['test/storage/file_calls.test.ts'],
  'src/process/watched_group.ts': ['test/process/file_watch.test.ts'],
  'src/config/private_file.ts': secretFiles,
  'src/config/secrets.ts': secretFiles,
  'src/config/trusted_directories.ts': ['test/config/trusted_directories.test.ts'],
  'src/config/service_links.ts': ['test/config/service_links.test.ts'],
  'src/http/server/memory_budget.ts': ['test/http/server/memory_budget.test.ts'],
  'src/http/plugins/rate_windows.ts': ['test/http/plugins/rate_windows.test.ts'],
  'src/http/plugins/strict_json.ts': ['test/http/plugins/strict_json.test.ts'],
  'src/residency/commit/shard_group.ts': groups,
  'src/residency/commit/group_member.ts': groups,
  'src/residency/commit/seal_shards.ts': seals,
  'src/residency/source/digest_rule.ts': digestRules,
  'src/uploads/upload.ts': uploads,
  'src/uploads/finished_upload.ts': uploads,
  'src/sources/egress/address_rules.ts': addresses,
  'src/sources/egress/policy.ts': addresses,
  'src/sources/oci/challenge.ts': ['test/sources/oci/challenge.test.ts'],
  'src/sources/oci/manifest.ts': ['test/sources/oci/manifest.test.ts'],
  'src/sources/oci/artifact_files.ts': ['test/sources/oci/artifact_files.test.ts'],
  'src/sources/oci/media_types.ts': ['test/sources/oci/artifact_files.test.ts'],
  'src/sources/oci/registry_host.ts': ['test/sources/oci/registry_host.test.ts'],
  'src/sources/oci/registry_auth.ts': registries,
  'src/sources/oci/token.ts': registries,
  'src/sources/oci/repository.ts': registries,
  'src/sources/oci/blob_source.ts': registries,
  'src/sources/oci/oci_resolver.ts': registries,
};
