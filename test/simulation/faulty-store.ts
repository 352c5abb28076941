import type { Answer, Hint, Put, Query, Store, StoredRecord, Take } from '../../src/store/store.ts'
import type { Process, World } from './world.ts'

/** How often things go wrong while the world has faults. */
export interface FaultRates {
  readonly slow: number
  readonly failsBefore: number
  readonly losesReply: number
  /** Of a commit of several units: some are applied, and then it fails. */
  readonly tears: number
  /** It fails, and is applied when its caller has long turned to something else. */
  readonly comesLate: number
  readonly crash: number
  readonly hang: number
  /** The least time between two faults of one process, in ms. */
  readonly spacingMs: number
}

/** Everything that can go wrong. */
export const STORM: FaultRates = {
  slow: 0.02,
  failsBefore: 0.03,
  losesReply: 0.04,
  tears: 0.01,
  comesLate: 0.01,
  crash: 0.004,
  hang: 0.004,
  spacingMs: 0,
}

/** A network that loses requests and replies, and processes that live: no lease need ever lapse. */
export const LOSSY: FaultRates = {
  slow: 0,
  failsBefore: 0.05,
  losesReply: 0.15,
  tears: 0,
  comesLate: 0,
  crash: 0,
  hang: 0,
  spacingMs: 300,
}

/**
 * A process's view of a store that all share: calls take time, some are slow, some fail before they
 * are applied, some after, and the process may die or hang on either side of each.
 */
export function faultyStore(
  store: Store,
  process: Process,
  rates: FaultRates,
  crash: () => void,
): Store {
  const { world } = process
  let quietUntil = 0
  const call = <T>(apply: () => Promise<T>, tear: () => Promise<T> = apply): Promise<T> =>
    new Promise((resolve, reject) => {
      const { there, back, fate } = fateOf(world, rates, world.now >= quietUntil)
      if (fate !== 'fine') quietUntil = world.now + rates.spacingMs
      if (fate === 'crash-before') return crash()
      if (fate === 'hang') process.hang(world.between(500, 3_500))
      world.after(there, () => {
        if (fate === 'fails-before') {
          world.after(back, () => reject(new Error('The connection was refused')), process)
          return
        }
        if (fate === 'comes-late') {
          world.after(world.between(300, 3_000), () => void apply().catch(() => {}))
          world.after(back, () => reject(new Error('No answer in time')), process)
          return
        }
        const act = fate === 'tears' ? tear : apply
        // Applied whether or not its caller is still alive: the request had left.
        act().then(
          (value) => {
            if (fate === 'crash-after') crash()
            const answer =
              fate === 'loses-reply' || fate === 'tears'
                ? () => reject(new Error('The connection was lost'))
                : () => resolve(value)
            world.after(back, answer, process)
          },
          (error) => world.after(back, () => reject(error), process),
        )
      })
    })
  const faulty: Store = {
    ...plainFacts(store),
    read: (query: Query): Promise<Answer> => call(() => store.read(query)),
    commit: (units: readonly (readonly Put[])[], hint?: Hint) =>
      call(
        () => store.commit(units, hint),
        () => store.commit(units.slice(0, world.between(0, units.length)), hint),
      ),
    operations: () => store.operations(),
    close: () => store.close(),
  }
  if (store.take !== undefined) {
    const { take } = store
    faulty.take = (request: Take): Promise<StoredRecord[]> => call(() => take.call(store, request))
  }
  if (store.subscribe !== undefined) {
    const { subscribe } = store
    faulty.subscribe = (channel, hear) =>
      subscribe.call(store, channel, (at) => {
        // A wake-up is a hint: some are lost.
        if (!world.chance(0.3)) world.after(1, () => hear(at), process)
      })
  }
  return faulty
}

function plainFacts({
  name,
  guarantee,
  clock,
  limits,
}: Store): Pick<Store, 'name' | 'guarantee' | 'clock' | 'limits'> {
  return { name, guarantee, clock, limits }
}

type Fate =
  | 'fine'
  | 'fails-before'
  | 'loses-reply'
  | 'tears'
  | 'comes-late'
  | 'crash-before'
  | 'crash-after'
  | 'hang'

function fateOf(
  world: World,
  rates: FaultRates,
  mayFail: boolean,
): { there: number; back: number; fate: Fate } {
  const slow = world.faults && world.chance(rates.slow)
  const there = slow ? world.between(0, 1_250) : world.between(0, 3)
  const back = slow ? world.between(0, 1_250) : world.between(0, 3)
  if (!world.faults || !mayFail) return { there, back, fate: 'fine' }
  const steps: [number, Fate][] = [
    [rates.failsBefore, 'fails-before'],
    [rates.losesReply, 'loses-reply'],
    [rates.tears, 'tears'],
    [rates.comesLate, 'comes-late'],
    [rates.crash / 2, 'crash-before'],
    [rates.crash / 2, 'crash-after'],
    [rates.hang, 'hang'],
  ]
  let left = world.random()
  for (const [rate, fate] of steps) {
    if (left < rate) return { there, back, fate }
    left -= rate
  }
  return { there, back, fate: 'fine' }
}
