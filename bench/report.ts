import type { Cost, Finding, Result } from './finding.ts'
import { quantile, ratios, spreadOf } from './statistics.ts'
import { short, shortSpread, table } from './table.ts'

type Reading = (finding: Finding) => number

/** A number of each round, and which way it is better. */
interface Measure {
  readonly title: string
  readonly better: 'more' | 'less'
  readonly read: Reading
}

const PER = 10_000

const RATE: readonly Measure[] = [
  { title: 'jobs/s', better: 'more', read: rate((cost, jobs) => jobs / cost.seconds) },
]
const LATENCY: readonly Measure[] = [
  { title: 'p50 ms', better: 'less', read: latency('p50Ms') },
  { title: 'p99 ms', better: 'less', read: latency('p99Ms') },
]
/** What it took, as the median alone. */
const COSTS: readonly { title: string; read: Reading }[] = [
  { title: 'CPU-s node', read: rate((cost, jobs) => (cost.cpuSeconds / jobs) * PER) },
  { title: 'CPU-s server', read: rate((cost, jobs) => perJob(cost.serverCpuSeconds, jobs) * PER) },
  { title: 'commands/job', read: rate((cost, jobs) => perJob(cost.commands, jobs)) },
]

function rate(read: (cost: Cost, jobs: number) => number): Reading {
  return (finding) => (finding.measure === 'rate' ? read(finding.cost, finding.jobs) : Number.NaN)
}

function latency(of: 'p50Ms' | 'p99Ms'): Reading {
  return (finding) => (finding.measure === 'latency' ? finding[of] : Number.NaN)
}

function perJob(value: number | null, jobs: number): number {
  return value === null ? Number.NaN : value / jobs
}

/** The results of one case on one ground: a line for each contestant, the first against each other. */
export function caseTable(results: readonly Result[]): string {
  const [first] = results
  if (first === undefined) return ''
  const names = [...new Set(results.map(({ contestant }) => contestant))]
  const isRate = first.finding.measure === 'rate'
  const measures = isRate ? RATE : LATENCY
  const costs = isRate ? COSTS : []
  const [ours] = names
  const isAlone = names.length === 1
  const rows = names.map((name) => {
    const own = results.filter(({ contestant }) => contestant === name)
    return [
      name,
      ...measures.flatMap((measure) => [
        shortSpread(spreadOf([...byRound(own, measure.read).values()])),
        ...(isAlone ? [] : [name === ours ? '' : ratioText(results, ours, name, measure)]),
      ]),
      ...costs.map(({ read }) => short(quantile([...byRound(own, read).values()], 0.5))),
    ]
  })
  const header = [
    '',
    ...measures.flatMap(({ title }) => (isAlone ? [title] : [title, `${ours} ×`])),
    ...costs.map(({ title }) => title),
  ]
  const rounds = new Set(results.map(({ round }) => round)).size
  const title = `### ${first.case} on ${first.ground}, ${first.finding.jobs} jobs, ${rounds} rounds`
  return `${title}\n\n${table(header, rows)}\n`
}

function ratioText(
  results: readonly Result[],
  ours: string | undefined,
  theirs: string,
  { read, better }: Measure,
): string {
  const of = (name: string | undefined): Map<number, number> =>
    byRound(
      results.filter(({ contestant }) => contestant === name),
      read,
    )
  const each = ratios(of(ours), of(theirs), better)
  return each.length === 0 ? '–' : shortSpread(spreadOf(each))
}

function byRound(results: readonly Result[], read: Reading): Map<number, number> {
  return new Map(results.map(({ round, finding }) => [round, read(finding)]))
}
