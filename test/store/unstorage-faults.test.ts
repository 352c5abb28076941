import assert from 'node:assert/strict'
import { describe, it } from 'vitest'
import type { Store, StoredRecord } from '../../src/store/store.ts'
import { createUnstorageStore } from '../../src/store/unstorage-store.ts'
import { FakeClock, pick, seededRandom } from '../../src/testing/main.ts'
import { FAULTS, type Fault, FaultyStorage } from './faulty-storage.ts'
import { contentOf, RecordScript } from './record-script.ts'

const STEPS = 14
const SEEDS = [1, 2, 3]

function openOn(storage: FaultyStorage, seed: number): Store {
  return createUnstorageStore(storage, { clock: new FakeClock(), random: seededRandom(seed) })
}

/** After a start, a storage holds what its records need and nothing else. */
function assertSwept(storage: FaultyStorage, records: readonly StoredRecord[]): void {
  const names = [...storage.items.keys()]
  const parts = records.flatMap((record) => Object.keys(record.parts ?? {}))
  assert.equal(names.filter((name) => name.startsWith('wherry:p:')).length, parts.length)
  const heads = names.filter((name) => name.startsWith('wherry:h:'))
  assert.ok(heads.length >= records.length && heads.length <= 2 * records.length, names.join())
}

/** Runs a script whose storage has faults, and then looks at what is left through two stores. */
async function runFaults(
  seed: number,
  prepare: (storage: FaultyStorage) => void,
): Promise<FaultyStorage> {
  const random = seededRandom(seed)
  const storage = new FaultyStorage(random)
  const script = new RecordScript(random)
  const store = openOn(storage, seed)
  await store.read({})
  prepare(storage)
  for (let step = 0; step < STEPS; step++) await script.step(store)
  storage.heal()
  await script.settle(store)
  const content = await contentOf(store)
  await store.close()
  const again = openOn(storage, seed + 1_000)
  assert.deepEqual(await contentOf(again), content)
  assertSwept(storage, content)
  for (let step = 0; step < 3; step++) await script.step(again)
  await again.close()
  await script.check(openOn(storage, seed + 2_000))
  return storage
}

describe('a storage whose calls fail', () => {
  for (const fault of FAULTS) {
    for (const blind of [0, 1, 5]) {
      it(`loses nothing when any one change ${fault} and ${blind} reads fail after it`, async () => {
        for (const seed of SEEDS) await everyChange(seed, fault, blind)
      })
    }
  }

  it('loses nothing when changes and reads fail again and again', async () => {
    for (let seed = 1; seed <= 400; seed++) {
      const random = seededRandom(seed)
      try {
        await runFaults(seed, (storage) => {
          storage.faultOf = () => (random() < 0.15 ? pick(random, FAULTS) : undefined)
          storage.isBlind = () => random() < 0.1
        })
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
  })
})

async function everyChange(seed: number, fault: Fault, blind: number): Promise<void> {
  for (let at = 0, changes = Infinity; at < changes; at++) {
    let blindReads = 0
    const storage = await runFaults(seed, (faulty) => {
      faulty.faultOf = (change) => {
        if (change !== at) return undefined
        blindReads = blind
        return fault
      }
      faulty.isBlind = () => blindReads-- > 0
    })
    changes = storage.changes
  }
}

describe('a process that dies', () => {
  for (const share of [null, 0, 0.5, 1]) {
    it(`leaves every record whole, within any change, with ${share ?? 'nothing'} of it done`, async () => {
      for (const seed of SEEDS) {
        for (let change = 0; await dieOnce(seed, { change, share }); change++);
      }
    })
  }
})

/** Whether the process died before its script was over. */
async function dieOnce(
  seed: number,
  death: { change: number; share: number | null },
): Promise<boolean> {
  const random = seededRandom(seed)
  const storage = new FaultyStorage(random)
  storage.death = death
  const script = new RecordScript(random)
  const store = openOn(storage, seed)
  for (let step = 0; step < STEPS && !storage.isDead; step++) {
    await script.step(store).catch((error) => {
      if (!storage.isDead) throw error
    })
  }
  for (let change = 0; await dieAtStart(storage, script, { ...death, change }); change++);
  const again = new FaultyStorage(random, storage.items)
  const next = openOn(again, seed + 1_000)
  await script.settle(next)
  assertSwept(again, await contentOf(next))
  return storage.isDead
}

/** Dies again while the next process cleans up; whether there was that much to clean. */
async function dieAtStart(
  before: FaultyStorage,
  script: RecordScript,
  death: { change: number; share: number | null },
): Promise<boolean> {
  const storage = new FaultyStorage(seededRandom(1), before.items)
  storage.death = death
  await openOn(storage, 2_000)
    .read({})
    .catch(() => {})
  const again = new FaultyStorage(seededRandom(1), storage.items)
  await script.check(openOn(again, 3_000))
  return storage.isDead
}
