import { execFileSync } from 'node:child_process';

/** For `t.test`: skips it if one of these programs is not installed. */
export function unlessInstalled(...programs: readonly string[]): { skip?: string } {
  const isMissing = (program: string): boolean => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`]);
      return false;
    } catch {
      return true;
    }
  };
  const program = programs.find(isMissing);
  return program === undefined ? {} : { skip: `${program} is not installed` };
}
