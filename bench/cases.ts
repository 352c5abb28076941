import { setTimeout as sleep } from 'node:timers/promises'
import type { ContestantName } from './contestants.ts'
import { type Crew, hireCrew } from './crew.ts'
import type { Finding } from './finding.ts'
import type { GroundName } from './ground.ts'
import { Heat, type HeatSetting } from './heat.ts'
import { quantile } from './statistics.ts'

export interface CaseSetting extends HeatSetting {
  readonly contestant: ContestantName
}

export interface Case {
  /** Of the jobs that are asked for, what the case makes do with. Default all. */
  readonly share?: number
  /** The grounds it is not for. */
  readonly notOn?: readonly GroundName[]
  /** What makes the process warm, if not the case itself. */
  readonly warmUp?: (setting: CaseSetting) => Promise<unknown>
  run(setting: CaseSetting): Promise<Finding>
}

/** Calls of `add` at once. */
const IN_FLIGHT = 100
/** The worker that runs what a case was only about adding. */
const AFTERWARDS = 100
const IDLE_MS = 20

export const CASES = {
  /** Adds in calls of 1,000; nobody works. */
  'add-bulk': { run: (setting) => adding(setting, (heat) => heat.addMany()) },
  /** Adds in calls of one, 100 at once; nobody works. */
  add: { run: (setting) => adding(setting, (heat) => heat.addEach(IN_FLIGHT)) },
  'drain-1': { run: (setting) => draining(setting, 1), notOn: ['postgres'] },
  'drain-10': { run: (setting) => draining(setting, 10) },
  'drain-100': { run: (setting) => draining(setting, 100) },
  together: { run: together, notOn: ['postgres'] },
  'idle-latency': { share: 1 / 50, run: idleLatency, notOn: ['postgres'] },
  'processes-1': processes(1),
  'processes-4': processes(4),
  'processes-8': processes(8),
} satisfies Record<string, Case>

export type CaseName = keyof typeof CASES
export const CASE_NAMES: readonly CaseName[] = Object.keys(CASES) as CaseName[]

export function caseOf(name: CaseName): Case {
  return CASES[name]
}

async function adding(setting: HeatSetting, add: (heat: Heat) => Promise<void>): Promise<Finding> {
  const heat = await Heat.open(setting, AFTERWARDS)
  const cost = await heat.cost(() => add(heat))
  await heat.finish()
  return { measure: 'rate', jobs: heat.jobs, cost }
}

/** The queue is full when the worker starts; timed until the last job has run. */
async function draining(setting: HeatSetting, concurrency: number): Promise<Finding> {
  const heat = await Heat.open(setting, concurrency)
  await heat.addMany()
  const cost = await heat.cost(async () => {
    await heat.start()
    await heat.allRan()
  })
  await heat.finish()
  return { measure: 'rate', jobs: heat.jobs, cost }
}

/** One process adds, 100 calls at once, and runs, 100 handlers at once. */
async function together(setting: HeatSetting): Promise<Finding> {
  const heat = await Heat.open(setting, 100)
  await heat.start()
  const cost = await heat.cost(async () => {
    await heat.addEach(IN_FLIGHT)
    await heat.allRan()
  })
  await heat.finish()
  return { measure: 'rate', jobs: heat.jobs, cost }
}

/** A job every 20 ms to a worker that has nothing else to do: from the call of add to its handler. */
async function idleLatency(setting: HeatSetting): Promise<Finding> {
  const addedAt: number[] = []
  const latencies: number[] = []
  const heat = await Heat.open(setting, 10, (index) => {
    latencies.push(performance.now() - (addedAt[index] ?? Number.NaN))
  })
  await heat.start()
  for (const payload of heat.payloads()) {
    await sleep(IDLE_MS)
    addedAt[payload.index] = performance.now()
    await heat.line.add(payload)
  }
  await heat.finish()
  const [p50Ms, p99Ms] = [quantile(latencies, 0.5), quantile(latencies, 0.99)]
  return { measure: 'latency', jobs: heat.jobs, p50Ms, p99Ms }
}

/** As many processes, each of which runs 10 at once, on a queue that is full when they start. */
function processes(size: number): Case {
  return {
    notOn: ['memory', 'postgres'],
    warmUp: (setting) => adding(setting, (heat) => heat.addMany()),
    async run(setting) {
      const heat = await Heat.open(setting, 10)
      const crew = await hireCrew(setting, size, (index) => heat.ledger.note(index))
      try {
        return await crewed(heat, crew)
      } finally {
        crew.dismiss()
      }
    },
  }
}

async function crewed(heat: Heat, crew: Crew): Promise<Finding> {
  await heat.addMany()
  const begun = Date.now()
  const cost = await heat.cost(async () => {
    crew.start()
    await heat.allRan()
  })
  const { lastRanAt, cpuSeconds } = await crew.stop()
  await heat.finish()
  // The account of what has run arrives a little later than it ran.
  const seconds = (lastRanAt - begun) / 1_000
  return {
    measure: 'rate',
    jobs: heat.jobs,
    cost: { ...cost, seconds, cpuSeconds: cost.cpuSeconds + cpuSeconds },
  }
}
