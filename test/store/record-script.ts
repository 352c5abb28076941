import assert from 'node:assert/strict'
import type { Random } from '../../src/clock.ts'
import type { Put, Store, StoredRecord } from '../../src/store/store.ts'
import { pick, randomBelow } from '../../src/testing/main.ts'

const KEYS = ['a', 'A', 'b/c', 'd'] as const
const PARTS = ['data', 'log'] as const
const NOTHING = 'nothing'
/** Reads that may fail before one must succeed. */
const TRIES = 50

/**
 * Changes a few records at random, and knows in which states each may be: in one after an
 * acknowledgement, in either of two after an outcome that is unknown.
 */
export class RecordScript {
  readonly #random: Random
  readonly #allowed = new Map<string, ReadonlySet<string>>(
    KEYS.map((key) => [key, new Set([NOTHING])]),
  )
  #puts = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Changes some records at the same time. */
  async step(store: Store): Promise<void> {
    const keys = KEYS.filter(() => this.#random() < 0.5)
    const records = await this.#read(store, keys)
    const puts = keys.map((key, i) => this.#put(key, records[i] ?? null))
    const outcomes = await Promise.allSettled(puts.map((put) => store.commit([[put]])))
    outcomes.forEach((outcome, i) => {
      const [put, before] = [puts[i] as Put, records[i] ?? null]
      const after = stateAfter(put, before)
      if (outcome.status === 'rejected') this.#allow(put.key, [...this.allowed(put.key), after])
      else if (outcome.value[0] === null) this.#rule(put.key, before)
      else this.#allow(put.key, [after])
    })
  }

  /** Asks the store until it is sure of each record, and holds it to what it says. */
  async settle(store: Store): Promise<void> {
    for (const key of KEYS) {
      const [record = null] = await this.#read(store, [key])
      const [version] = await store.commit([[{ key, expect: record?.version ?? null }]])
      if (version === null) this.#rule(key, record)
      else this.#allow(key, [stateOf(record)])
    }
    await this.check(store)
  }

  /** Whether the store shows each record in a state that it may be in. */
  async check(store: Store): Promise<void> {
    await this.#read(store, KEYS)
  }

  allowed(key: string): ReadonlySet<string> {
    return this.#allowed.get(key) as ReadonlySet<string>
  }

  #allow(key: string, states: readonly string[]): void {
    this.#allowed.set(key, new Set(states))
  }

  /** A refusal says that the record was not as it was seen, which it may be only after a doubt. */
  #rule(key: string, seen: StoredRecord | null): void {
    const left = [...this.allowed(key)].filter((state) => state !== stateOf(seen))
    assert.ok(left.length > 0, `"${key}" was refused as it was`)
    this.#allow(key, left)
  }

  async #read(store: Store, keys: readonly string[]): Promise<(StoredRecord | null)[]> {
    const got = await readAll(store, keys)
    got.forEach((record, i) => {
      const key = keys[i] as string
      const allowed = this.allowed(key)
      assert.ok(
        allowed.has(stateOf(record)),
        `"${key}" is ${stateOf(record)}, expected one of ${[...allowed].join(', ')}`,
      )
    })
    return got
  }

  /** No two puts leave the same state. */
  #put(key: string, before: StoredRecord | null): Put {
    const random = this.#random
    const head = `head ${++this.#puts}`
    const parts = Object.fromEntries(
      PARTS.filter(() => random() < 0.4).map((name) => [
        name,
        random() < 0.3 ? null : `${name} of ${head}`,
      ]),
    )
    if (before === null)
      return { key, expect: null, place: 'r/one', score: this.#puts, head, parts }
    const expect = before.version
    if (random() < 0.3) return { key, expect, drop: true }
    return {
      key,
      expect,
      head,
      stamp: pick(random, ['', 'me']),
      score: randomBelow(random, 9),
      parts,
    }
  }
}

async function readAll(store: Store, keys: readonly string[]): Promise<(StoredRecord | null)[]> {
  for (let tries = 1; ; tries++) {
    try {
      const { got } = await store.read({ get: keys, parts: PARTS })
      return [...got]
    } catch (error) {
      if (tries === TRIES || error instanceof assert.AssertionError) throw error
    }
  }
}

/** All that can be read of the store. */
export async function contentOf(store: Store): Promise<readonly StoredRecord[]> {
  const { ranges, counts } = await store.read({
    ranges: [
      { prefix: '', limit: 99 },
      { place: 'r/one', limit: 99 },
    ],
    counts: ['r/one'],
  })
  const [byKey = [], byPlace = []] = ranges
  assert.deepEqual(
    byPlace.map(({ key }) => key).sort(),
    byKey.map(({ key }) => key),
  )
  assert.deepEqual(counts, [byKey.length])
  const records = await readAll(
    store,
    byKey.map(({ key }) => key),
  )
  return records as StoredRecord[]
}

function stateOf(record: StoredRecord | null): string {
  if (record === null) return NOTHING
  const { head, stamp, score, parts = {} } = record
  return JSON.stringify([head, stamp, score, PARTS.map((name) => parts[name] ?? null)])
}

function stateAfter(put: Put, before: StoredRecord | null): string {
  if (put.drop) return NOTHING
  const { head = '', stamp = '', score = 0, parts = {} } = put
  const merged = PARTS.map((name) => (name in parts ? parts[name] : before?.parts?.[name]) ?? null)
  return JSON.stringify([head, stamp, score, merged])
}
