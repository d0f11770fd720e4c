import t from 'tap';
import { usableCores } from '../../src/vram/cores.js';

/** Reads only these files. */
const filesOf =
  (files: Readonly<Record<string, string>>) =>
  (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error('ENOENT');
    return text;
  };

const inGroup = (group: string, limits: Readonly<Record<string, string>>) =>
  filesOf({ '/proc/self/cgroup': `0::${group}\n`, ...limits });

t.test('cores are those of the affinity, unless a control group allows less', async (t) => {
  t.equal(usableCores(64, filesOf({})), 64, 'no control groups');
  t.equal(usableCores(64, inGroup('/', { '/sys/fs/cgroup/cpu.max': 'max 100000\n' })), 64, 'no quota');
  t.equal(usableCores(64, inGroup('/', { '/sys/fs/cgroup/cpu.max': '400000 100000\n' })), 4, 'in a container');
  t.equal(usableCores(2, inGroup('/', { '/sys/fs/cgroup/cpu.max': '400000 100000\n' })), 2, 'a higher quota');
  t.equal(usableCores(64, inGroup('/', { '/sys/fs/cgroup/cpu.max': '150000 100000\n' })), 2, 'rounded up');
  t.equal(usableCores(64, inGroup('/', { '/sys/fs/cgroup/cpu.max': '10000 100000\n' })), 1, 'at least one');
});

t.test('the lowest quota above a control group counts', async (t) => {
  const limits = {
    '/sys/fs/cgroup/system.slice/worker.service/cpu.max': '800000 100000\n',
    '/sys/fs/cgroup/system.slice/cpu.max': '300000 100000\n',
  };
  t.equal(usableCores(64, inGroup('/system.slice/worker.service', limits)), 3);
});
