import { spawnSync } from 'node:child_process';
import { main } from './paths.js';

/** A process of another user shows what file permissions protect, because root can read everything. */
export const otherUser = 65_534;

const [setpriv, ...options] = ['setpriv', '--reuid', `${otherUser}`, '--regid', `${otherUser}`, '--clear-groups'];
/** Runs the command that follows it as the other user. */
export const asOtherUser = [setpriv, ...options];
/** Whether that works, and the other user can read `vram-worker`. */
export const canChangeUser =
  process.geteuid?.() === 0 && spawnSync(setpriv, [...options, 'test', '-r', main]).status === 0;
