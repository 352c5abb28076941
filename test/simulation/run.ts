/**
 * Runs seeds of a simulation and says which failed, and how often what happened in all.
 *
 *     node test/simulation/run.ts --on memory --from 1 --count 1000
 *     node test/simulation/run.ts --on kv --from 17 --count 1 --trace
 */
import { parseArgs } from 'node:util'
import { settingOf, simulate } from './simulate.ts'
import { simulateKV } from './simulate-kv.ts'

const { values } = parseArgs({
  options: {
    on: { type: 'string', default: 'memory' },
    from: { type: 'string', default: '1' },
    count: { type: 'string', default: '200' },
    keepGoing: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
})
// A run throws thousands of errors and shows none of their stacks.
if (!values.trace) Error.stackTraceLimit = 0
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const trace = values.trace ? print : undefined
const from = Number(values.from)
const totals: Record<string, number> = {}
let failed = 0
let seeds = 0
const startedAt = performance.now()
for (let seed = from; seed < from + Number(values.count); seed++) {
  const report =
    values.on === 'kv'
      ? await simulateKV(seed)
      : await simulate(seed, { ...settingOf(seed), trace })
  const { seed: _seed, broken, ...counted } = report
  seeds++
  for (const [name, value] of Object.entries(counted)) {
    const sum = totals[name] ?? 0
    // Times and digests do not add up.
    if (name !== 'trace') totals[name] = name.endsWith('Ms') ? Math.max(sum, value) : sum + value
  }
  if (broken === null) continue
  failed++
  print(`seed ${seed}: ${broken}`)
  if (!values.keepGoing) break
}
const seconds = Number(((performance.now() - startedAt) / 1_000).toFixed(1))
print(JSON.stringify({ on: values.on, seeds, failed, ...totals, seconds }))
process.exitCode = failed === 0 ? 0 : 1
