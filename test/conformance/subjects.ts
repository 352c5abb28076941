/** The stores that the suite runs on everywhere: they need no platform. */
import { createCloudflareKVStore } from '../../adapters/store/cloudflare-kv.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { FakeClock, type StoreSubject, seededRandom } from '../../src/testing/main.ts'
import { SimulatedKV } from '../support/simulated-kv.ts'

export function memorySubject(seed: number): StoreSubject {
  return { open: async () => createMemoryStore(), seed }
}

/** KV that lags by a minute; its clock runs ahead whenever the store waits for it. */
export function simulatedKVSubject(seed: number): StoreSubject {
  const clock = new EagerClock()
  const random = seededRandom(seed)
  const kvs = new Map<object, SimulatedKV>()
  const lagMs = 60_000
  const open = (kv: SimulatedKV, location: string) => {
    const store = createCloudflareKVStore(kv.at(location), { clock, random })
    kvs.set(store, kv)
    return store
  }
  return {
    open: async () => open(new SimulatedKV({ now: () => clock.now(), random, lagMs }), 'CDG'),
    second: async (store) => open(kvs.get(store) as SimulatedKV, 'SFO'),
    reopen: async (store) => open(kvs.get(store) as SimulatedKV, 'CDG'),
    fresh: async () => clock.skip(lagMs),
    seed,
    scale: 10,
  }
}

/** A fake clock whose timers fire as soon as nothing else can happen. */
export class EagerClock extends FakeClock {
  #skipped = 0

  override now(): number {
    return super.now() + this.#skipped
  }

  override monotonic(): number {
    return super.monotonic() + this.#skipped
  }

  override setTimeout(callback: () => void, ms: number): number {
    this.#skipped += ms
    queueMicrotask(callback)
    return 0
  }

  skip(ms: number): void {
    this.#skipped += ms
  }
}
