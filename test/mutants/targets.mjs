/**
 * The files that decide what is true, and the tests that have to notice when one of them decides otherwise: the quick
 * ones first, since the first that fails ends the run of a mutant.
 */
const handles = [
  'test/seal/handle.test.ts',
  'test/seal/key.test.ts',
  'test/seal/ed25519.test.ts',
  'test/residency/handles.test.ts',
];
const rotation = ['test/residency/rotation.test.ts', 'test/http/routes/keys.test.ts'];
const auditLog = ['test/residency/audit_log.test.ts'];
const accounts = ['test/residency/memory.test.ts', 'test/residency/reservation.test.ts'];

export const targets = {
  'src/seal/jws.ts': handles,
  'src/seal/handle.ts': handles,
  'src/seal/key.ts': [...handles, ...rotation],
  'src/seal/jwk.ts': ['test/seal/ed25519.test.ts'],
  'src/residency/keyring.ts': rotation,
  'src/residency/rotation.ts': rotation,
  'src/residency/verdict.ts': ['test/residency/handles.test.ts', 'test/residency/verify.test.ts', ...rotation],
  'src/http/credentials.ts': ['test/http/plugins/auth.test.ts', 'test/server/reload.test.ts'],
  'src/http/plugins/auth.ts': ['test/http/plugins/auth.test.ts', 'test/http/routes/plan.test.ts'],
  'src/residency/memory.ts': accounts,
  'src/residency/reservation.ts': accounts,
  'src/residency/audit/append_file.ts': auditLog,
  'src/residency/audit/audit.ts': [...auditLog, 'test/residency/audit.test.ts'],
  'src/residency/audit/batch.ts': auditLog,
  'src/residency/audit/chain.ts': ['test/residency/audit_chain.test.ts'],
  'src/residency/audit/checkpoint.ts': ['test/residency/audit_chain.test.ts'],
  'src/residency/audit/entry.ts': ['test/residency/audit_chain.test.ts'],
  'src/residency/audit/failures.ts': ['test/residency/audit_failures.test.ts'],
  'src/residency/audit/lines.ts': ['test/residency/audit_chain.test.ts'],
  'src/residency/audit/log.ts': auditLog,
  'src/residency/audit/rotation.ts': auditLog,
  'src/residency/audit/tail.ts': auditLog,
  'src/residency/audit/verify.ts': ['test/residency/audit_chain.test.ts'],
};
