import { type Random, randomToken } from '../clock.ts'
import type { StoredRecord } from '../store/store.ts'
import { encodeStamp, type JobRecord } from './job-record.ts'
import { pauseKey, placeOf } from './layout.ts'
import { type StoreSession, unavailable } from './store-session.ts'
import { LINES, type Upkeep, type Want } from './upkeep.ts'

export interface TakerOptions {
  readonly session: StoreSession
  readonly upkeep: Upkeep
  readonly random: Random
}

/** Leases that may end in the same millisecond. */
const SAME_SCORE_MAX = 10_000

/** Claims by the store's own `take`: many jobs in one round trip. */
export async function takeJobs(
  { session, upkeep, random }: TakerOptions,
  { queueName, limit }: Want,
  lengthMs: number,
): Promise<JobRecord[]> {
  const at = session.clock.now()
  // New for each call: a store knows a call that is sent again by its stamp.
  const owner = randomToken(random, 10)
  const into = placeOf('lease', queueName)
  const score = at + lengthMs
  const stamp = encodeStamp({ owner, at, lengthMs, progress: 0 })
  const from = LINES.map((kind) => placeOf(kind, queueName))
  const unless = [pauseKey(queueName)]
  const parts = ['data']
  try {
    const store = await session.store()
    const request = { from, limit, into, score, stamp, unless, parts }
    const taken = await unavailable('claim from the store', () => store.take?.(request) ?? [])
    return upkeep.decodeAll(taken)
  } catch (error) {
    const found = await findTaken()
    // Nothing was taken, and why is for the log of whoever asked.
    if (found.length === 0) throw error
    return found
  }

  /** After a call of unknown fate: what bears the stamp is ours. */
  async function findTaken(): Promise<JobRecord[]> {
    const isOurs = (record: StoredRecord | null): record is StoredRecord =>
      record !== null && record.stamp === stamp && record.place === into
    // Others may have claimed at the same moment, and renewed leases too.
    const range = { place: into, from: score, to: score, limit: SAME_SCORE_MAX }
    const { ranges } = await session.readPersistently({ ranges: [range] })
    const get = ranges
      .flat()
      .filter(isOurs)
      .map(({ key }) => key)
    const { got } = await session.readPersistently({ get, parts })
    return upkeep.decodeAll(got.filter(isOurs))
  }
}
