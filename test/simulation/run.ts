/**
 * Runs seeds of the simulation and says which failed.
 *
 *     node test/simulation/run.ts --from 1 --count 1000
 */
import { parseArgs } from 'node:util'
import { settingOf, simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    count: { type: 'string', default: '200' },
    keepGoing: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
})
const from = Number(values.from)
const count = Number(values.count)
const totals = { seeds: 0, steps: 0, writes: 0, crashes: 0, handlerRuns: 0 }
let failed = 0
const startedAt = performance.now()
for (let seed = from; seed < from + count; seed++) {
  const trace = values.trace ? (line: string) => process.stdout.write(`${line}\n`) : undefined
  const report = await simulate(seed, { ...settingOf(seed), trace })
  totals.seeds++
  totals.steps += report.steps
  totals.writes += report.writes
  totals.crashes += report.crashes
  totals.handlerRuns += report.handlerRuns
  if (report.broken === null) continue
  failed++
  process.stdout.write(`seed ${seed}: ${report.broken}\n`)
  if (!values.keepGoing) break
}
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
process.stdout.write(`${JSON.stringify({ ...totals, failed, seconds })}\n`)
process.exitCode = failed === 0 ? 0 : 1
