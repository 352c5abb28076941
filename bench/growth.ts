/**
 * What a claim costs as the backlog grows: the rate at which 2,000 jobs run off a queue that still
 * holds so many.
 *
 *   npm run growth -- --stores memory,sqlite,redis --sizes 1000,100000 --rounds 3
 */
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { askChild } from './child.ts'
import { type GroundName, openGround } from './ground.ts'
import { CONCURRENCIES, DRAINED, type Growth, type GrowthOrder } from './growth-order.ts'
import { chosen, pathOf, whole } from './options.ts'
import { startGround } from './server.ts'
import { ratios, spreadOf } from './statistics.ts'
import { short, shortSpread, table } from './table.ts'

interface Result {
  readonly store: GroundName
  readonly size: number
  readonly round: number
  readonly growth: Growth
}

const STORES: readonly GroundName[] = ['memory', 'sqlite', 'redis', 'postgres']

const { values } = parseArgs({
  options: {
    stores: { type: 'string', default: 'memory,sqlite,redis' },
    sizes: { type: 'string', default: '1000,10000,100000,500000' },
    rounds: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
})
const stores = chosen('stores', values.stores, STORES)
const sizes = values.sizes.split(',').map((text) => whole('sizes', text))
const rounds = whole('rounds', values.rounds)
const out = pathOf(values.out)

const results: Result[] = []
for (const store of stores) {
  const own = await growthOf(store)
  process.stdout.write(`${growthTable(store, own)}\n\n`)
  results.push(...own)
  if (out !== undefined) writeFileSync(out, `${JSON.stringify(results, null, 2)}\n`)
}

/** All sizes in turn, round after round, each in a process of its own. */
async function growthOf(store: GroundName): Promise<Result[]> {
  const server = await startGround(store)
  const ground = await openGround(store, server.url)
  const own: Result[] = []
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const size of sizes) {
        const order: GrowthOrder = { url: await ground.fresh(), size }
        const growth = await askChild<Growth>('./growth-round.ts', order)
        own.push({ store, size, round, growth })
      }
    }
  } finally {
    await ground.close()
    await server.close()
  }
  return own
}

function growthTable(store: GroundName, own: readonly Result[]): string {
  const [smallest = 0] = sizes
  const rows = sizes.map((size) => [
    short(size),
    shortSpread(spreadOf([...filling(own, size).values()])),
    ...CONCURRENCIES.flatMap((concurrency) => {
      const rates = draining(own, size, concurrency)
      const against = ratios(rates, draining(own, smallest, concurrency), 'more')
      return [shortSpread(spreadOf([...rates.values()])), shortSpread(spreadOf(against))]
    }),
  ])
  const header = [
    'waiting',
    'filled, jobs/s',
    ...CONCURRENCIES.flatMap((concurrency) => [
      `run ${concurrency} at once, jobs/s`,
      `× ${short(smallest)}`,
    ]),
  ]
  return `### ${store}, ${DRAINED} jobs off the backlog, ${rounds} rounds\n\n${table(header, rows)}`
}

function filling(own: readonly Result[], size: number): Map<number, number> {
  const here = own.filter((result) => result.size === size)
  return new Map(here.map(({ round, growth }) => [round, growth.filled]))
}

/** Of each round the middle of its repetitions. */
function draining(own: readonly Result[], size: number, concurrency: number): Map<number, number> {
  const here = own.filter((result) => result.size === size)
  return new Map(
    here.map(({ round, growth }) => [round, spreadOf(growth.drained[concurrency] ?? []).median]),
  )
}
