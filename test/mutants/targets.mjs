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
};
