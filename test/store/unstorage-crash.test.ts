import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, it } from 'vitest'
import { createFsStore } from '../../adapters/store/fs.ts'
import { randomBelow, seededRandom } from '../../src/testing/main.ts'
import { KEYS, partOf, type Told } from './fs-writer.ts'

const KILLS = 40
const WRITER = fileURLToPath(new URL('fs-writer.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** When to kill: after that many acknowledgements, or that many ms after the store was opened. */
type Moment = { readonly acks: number } | { readonly ms: number }

/** Runs a writer, kills it, and answers what it had said. */
async function killWriter(seed: number, moment: Moment): Promise<string[]> {
  const writer = spawn(process.execPath, [WRITER, folder, String(seed)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let complaint = ''
  const kill = (): boolean => writer.kill('SIGKILL')
  writer.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (said === '' && 'ms' in moment) setTimeout(kill, moment.ms)
    said += text
    if ('acks' in moment && said.split('done').length > moment.acks) kill()
  })
  writer.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  const [code, signal] = await once(writer, 'close')
  assert.deepEqual([code, signal], [null, 'SIGKILL'], complaint)
  return said.split('\n').slice(0, -1)
}

/** In which states each record may be by what was said: the acknowledged one, or that under way. */
function statesBy(
  said: readonly string[],
  before: ReadonlyMap<string, string>,
): Map<string, string[]> {
  const states = new Map([...before].map(([key, state]) => [key, [state]]))
  for (const line of said) {
    const [what, key = '', state = ''] = line.split(' ')
    const known = states.get(key) ?? []
    if (what === 'try') states.set(key, [...known, state])
    if (what === 'done') states.set(key, known.slice(1))
  }
  return states
}

/** The state of each record in the folder, none of which may be torn. */
async function readFolder(): Promise<Map<string, string>> {
  const store = createFsStore(folder)
  const { got, counts } = await store.read({ get: KEYS, parts: ['data'], counts: ['r/one'] })
  const records = got.filter((record) => record !== null)
  assert.deepEqual(counts, [records.length])
  for (const { head, parts } of records)
    assert.equal(parts?.['data'], partOf(JSON.parse(head) as Told))
  assert.equal(readdirSync(join(folder, 'wherry', 'p')).length, records.length)
  await store.close()
  return new Map(
    KEYS.map((key, i) => {
      const record = got[i] ?? null
      return [key, record === null ? 'nothing' : String((JSON.parse(record.head) as Told).number)]
    }),
  )
}

describe('a process that is killed', () => {
  it(`loses nothing acknowledged, tears nothing and brings nothing back, ${KILLS} times`, async () => {
    const random = seededRandom(1)
    let states = new Map(KEYS.map((key) => [key, 'nothing']))
    for (let kill = 1; kill <= KILLS; kill++) {
      const moment = kill % 2 ? { acks: 1 + randomBelow(random, 150) } : { ms: random() * 60 }
      const allowed = statesBy(await killWriter(kill, moment), states)
      states = await readFolder()
      for (const [key, state] of states) {
        const expected = allowed.get(key) ?? []
        assert.ok(
          expected.includes(state),
          `kill ${kill}: "${key}" is ${state}, expected ${expected}`,
        )
      }
    }
  }, 180_000)
})
