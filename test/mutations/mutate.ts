/**
 * Takes each rule away, one at a time, and looks whether the simulation or a directed test turns red.
 *
 *     npm run mutate -- --seeds 2000 --only 'mailbox'
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { MUTATIONS, type Mutation } from './mutations.ts'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '2000' }, only: { type: 'string', default: '' } },
})
const root = join(import.meta.dirname, '../..')
const folder = join(root, '.mutant')

/** A copy of the sources with one rule gone. */
function plant({ file, find, replace }: Mutation): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const name of [
    'src',
    'test',
    'adapters',
    'package.json',
    'tsconfig.json',
    'vitest.config.ts',
    'wrangler.toml',
    'examples',
  ]) {
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  const path = join(folder, file)
  const text = readFileSync(path, 'utf8')
  if (text.split(find).length !== 2)
    throw new Error(
      `Cannot mutate ${file}: "${find}" stands there ${text.split(find).length - 1} times`,
    )
  writeFileSync(
    path,
    text.replace(find, () => replace),
  )
}

function run(...command: string[]): { ok: boolean; output: string } {
  const [program = '', ...args] = command
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  })
  return { ok: status === 0, output: `${stdout}\n${stderr}` }
}

/** What turned red; null: nothing did. */
function detect({ tests: more = [], project = 'node' }: Mutation): string | null {
  // What only a store in workerd does, the tests of the core do not see.
  const core = ['test/kv', 'test/core', 'test/conformance/memory.test.ts']
  const tests = run(
    process.execPath,
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--project',
    project,
    ...(project === 'node' ? core : []),
    ...more,
  )
  const failing = /FAIL\s+(.*)/.exec(tests.output)?.[1]
  if (!tests.ok) return `test: ${failing ?? tests.output.slice(-200)}`
  const simulation = run(process.execPath, 'test/simulation/run.ts', '--count', values.seeds)
  return simulation.ok ? null : `simulation: ${simulation.output.split('\n')[0]}`
}

let survivors = 0
for (const mutation of MUTATIONS.filter(({ rule }) => rule.includes(values.only))) {
  plant(mutation)
  const caught = detect(mutation)
  if (caught === null) survivors++
  process.stdout.write(
    `${caught === null ? 'SURVIVES' : 'caught  '}  ${mutation.rule}\n          ${caught ?? ''}\n`,
  )
}
rmSync(folder, { recursive: true, force: true })
process.exitCode = survivors === 0 ? 0 : 1
