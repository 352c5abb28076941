/** A process that changes records in a folder until it is killed, and says what it is told. */
import { writeSync } from 'node:fs'
import { createFsStore } from '../../adapters/store/fs.ts'
import type { Put, Store } from '../../src/store/store.ts'
import { randomBelow, seededRandom } from '../../src/testing/main.ts'

const LANES = 4
const KEYS_OF_LANE = 3
/** Long enough for a write to be cut off in the middle. */
const PART_LENGTH_MAX = 200_000

/** What a record says of itself in its head: the number of its put, and how long its part is. */
export interface Told {
  readonly number: number
  readonly length: number
}

export function keysOfLane(lane: number): string[] {
  return Array.from({ length: KEYS_OF_LANE }, (_, i) => `j/${lane}.${i}`)
}

export const KEYS: readonly string[] = Array.from({ length: LANES }, (_, i) => keysOfLane(i)).flat()

/** The part of a record that tells this of itself. */
export function partOf({ number, length }: Told): string {
  return `${number} `.repeat(length).slice(0, length)
}

function say(line: string): void {
  writeSync(1, `${line}\n`)
}

async function work(store: Store, lane: number, seed: number): Promise<void> {
  const random = seededRandom(seed + lane)
  const keys = keysOfLane(lane)
  for (let i = 0; ; i++) {
    const key = keys[randomBelow(random, keys.length)] as string
    const number = (seed + lane) * 100_000 + i
    const { got } = await store.read({ get: [key] })
    const put = nextPut(key, got[0]?.version ?? null, number, random)
    say(`try ${key} ${put.drop ? 'nothing' : number}`)
    const [version] = await store.commit([[put]])
    if (version === null) throw new Error(`The put ${number} of "${key}" was refused`)
    say(`done ${key}`)
  }
}

function nextPut(key: string, expect: string | null, number: number, random: () => number): Put {
  if (expect !== null && random() < 0.25) return { key, expect, drop: true }
  const told: Told = { number, length: randomBelow(random, random() < 0.2 ? PART_LENGTH_MAX : 99) }
  const head = JSON.stringify(told)
  return { key, expect, place: 'r/one', score: number, head, parts: { data: partOf(told) } }
}

if (import.meta.main) {
  const [, , folder = '', seed = ''] = process.argv
  const store = createFsStore(folder)
  say('open')
  await store.read({})
  await Promise.all(
    Array.from({ length: LANES }, (_, lane) => work(store, lane, Number(seed) * LANES)),
  )
}
