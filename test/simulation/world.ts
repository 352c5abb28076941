import type { Clock, Random } from '../../src/clock.ts'
import { randomBelow, seededRandom } from '../../src/testing/seeded-random.ts'

interface Timer {
  readonly due: number
  readonly order: number
  readonly process: Process | null
  readonly callback: () => void
}

/** Time, chance and processes of one simulated run. The same seed gives the same run. */
export class World {
  readonly random: Random
  readonly startedAt: number = Date.UTC(2026, 0, 1)
  now: number = this.startedAt
  steps = 0
  /** Whether things go wrong. */
  faults = true
  readonly #timers: Timer[] = []
  readonly #cancelled = new Set<number>()
  #order = 0

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  between(low: number, high: number): number {
    return low + randomBelow(this.random, high - low + 1)
  }

  after(ms: number, callback: () => void, process: Process | null = null): number {
    const order = ++this.#order
    push(this.#timers, { due: this.now + Math.max(0, ms), order, process, callback })
    return order
  }

  cancel(order: number): void {
    this.#cancelled.add(order)
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve))
  }

  /** Runs events in their order until the condition holds. Answers whether it did, in time. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    const end = this.now + limitMs
    await settled()
    while (!done()) {
      const timer = pop(this.#timers)
      if (timer === undefined || timer.due > end) return false
      if (this.#cancelled.delete(timer.order)) continue
      this.now = Math.max(this.now, timer.due)
      if (timer.process !== null && !timer.process.runs(timer.callback)) continue
      this.steps++
      timer.callback()
      await settled()
    }
    return true
  }
}

/** A process: it can hang, and die; its wall clock is wrong and jumps, its monotonic clock is not. */
export class Process {
  readonly world: World
  readonly name: string
  readonly clock: Clock
  alive = true
  /** Jobs of a queue that may run at once in it. */
  readonly slots: number
  readonly #skewMaxMs: number
  #skewMs: number
  #hungUntil = 0
  #jumpedAt: number

  /** `skewMs`: how far its wall clock may be off when it starts; jumps are five times that. */
  constructor(world: World, name: string, skewMs = 2_000) {
    this.world = world
    this.name = name
    this.slots = world.between(1, 3)
    this.#skewMaxMs = skewMs
    this.#skewMs = world.between(-skewMs, skewMs)
    this.#jumpedAt = world.now
    const bornAt = world.now
    this.clock = {
      now: () => world.now + this.#skew(),
      monotonic: () => world.now - bornAt,
      setTimeout: (callback, ms) => world.after(ms, callback, this),
      clearTimeout: (handle) => {
        if (typeof handle === 'number') world.cancel(handle)
      },
    }
  }

  hang(ms: number): void {
    this.#hungUntil = this.world.now + ms
  }

  get hangs(): boolean {
    return this.world.now < this.#hungUntil
  }

  /** Whether the event may happen now; one of a process that hangs is put off until it goes on. */
  runs(callback: () => void): boolean {
    if (!this.alive) return false
    if (!this.hangs) return true
    this.world.after(this.#hungUntil - this.world.now, callback, this)
    return false
  }

  #skew(): number {
    const { world } = this
    if (world.faults && world.now - this.#jumpedAt > 10_000) {
      this.#jumpedAt = world.now
      const jumpMs = 5 * this.#skewMaxMs
      if (world.chance(0.2)) this.#skewMs += world.between(-jumpMs, jumpMs)
    }
    return this.#skewMs
  }
}

/** Lets every promise that can settle without a timer do so: a tick begins when none is left. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

function before(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order)
}

/** A binary heap, the earliest timer first. */
function push(heap: Timer[], timer: Timer): void {
  let at = heap.push(timer) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!before(timer, heap[parent] as Timer)) break
    heap[at] = heap[parent] as Timer
    at = parent
  }
  heap[at] = timer
}

function pop(heap: Timer[]): Timer | undefined {
  const top = heap[0]
  const last = heap.pop()
  if (top === undefined || last === undefined || heap.length === 0) return top
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++
    if (!before(heap[child] as Timer, last)) break
    heap[at] = heap[child] as Timer
    at = child
  }
  heap[at] = last
  return top
}
