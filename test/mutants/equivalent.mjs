/**
 * Mutants that no test can notice, and why. Each names a line by a part of it, and what becomes of what; one that matches
 * no mutant fails the run, so that the list does not outlive the code.
 */
export const equivalents = [];
