/**
 * Compares queues on the same ground: in turn, each round of each in a process of its own.
 *
 *   npm start -- --ground redis --cases together,drain-100 --contestants wherry,bullmq --rounds 5
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { CASE_NAMES, caseOf } from './cases.ts'
import { askChild } from './child.ts'
import { CONTESTANT_NAMES, CONTESTANTS_ON, type ContestantName } from './contestants.ts'
import type { Finding, Result } from './finding.ts'
import { GROUND_NAMES, type GroundName } from './ground.ts'
import { chosen, pathOf, whole } from './options.ts'
import { caseTable } from './report.ts'
import type { RoundOrder } from './round.ts'
import { startGround } from './server.ts'

const { values } = parseArgs({
  options: {
    ground: { type: 'string', default: 'redis' },
    cases: { type: 'string', default: CASE_NAMES.join(',') },
    contestants: { type: 'string', default: CONTESTANT_NAMES.join(',') },
    jobs: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    /** Where to write each figure of each round, as JSON. */
    out: { type: 'string' },
    /** A folder for a CPU profile of what was measured, round by round. */
    profile: { type: 'string' },
  },
})
const grounds = chosen('ground', values.ground, GROUND_NAMES)
const cases = chosen('cases', values.cases, CASE_NAMES)
const contestants = chosen('contestants', values.contestants, CONTESTANT_NAMES)
const jobs = whole('jobs', values.jobs)
const rounds = whole('rounds', values.rounds)
const out = pathOf(values.out)
const profile = pathOf(values.profile)
if (profile !== undefined) mkdirSync(profile, { recursive: true })

const results: Result[] = []
process.stdout.write(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}\n\n`)
for (const ground of grounds) await runGround(ground)

async function runGround(ground: GroundName): Promise<void> {
  const server = await startGround(ground)
  const here = CONTESTANTS_ON[ground].filter((name) => contestants.includes(name))
  try {
    for (const name of cases) {
      if (caseOf(name).notOn?.includes(ground)) continue
      const own = await runCase(here, { ground, url: server.url, case: name, jobs })
      process.stdout.write(`${caseTable(own)}\n`)
      results.push(...own)
      // After each case: a run that is broken off has not been for nothing.
      if (out !== undefined) write(out)
    }
  } finally {
    await server.close()
  }
}

/** A B C, A B C, …: what the machine does meanwhile falls on all of them. */
async function runCase(
  names: readonly ContestantName[],
  order: Omit<RoundOrder, 'contestant' | 'profile'>,
): Promise<Result[]> {
  const { ground, case: caseName } = order
  const own: Result[] = []
  for (let round = 1; round <= rounds; round++) {
    for (const contestant of names) {
      const finding = await askChild<Finding>('./round.ts', {
        ...order,
        contestant,
        profile:
          profile && join(profile, `${ground}-${caseName}-${contestant}-${round}.cpuprofile`),
      })
      own.push({ ground, case: caseName, contestant, round, finding })
    }
  }
  return own
}

function write(path: string): void {
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
  const text = JSON.stringify({ machine, jobs, rounds, results }, null, 2)
  writeFileSync(path, `${text}\n`)
}
