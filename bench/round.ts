/** One round of one contestant, in a process of its own: a warm-up, an empty ground, the case. */
import { type CaseName, caseOf } from './cases.ts'
import { answerParent, orderOfParent } from './child.ts'
import { type ContestantName, contestant } from './contestants.ts'
import type { Finding } from './finding.ts'
import { type GroundName, openGround } from './ground.ts'

export interface RoundOrder {
  readonly ground: GroundName
  readonly url: string
  readonly contestant: ContestantName
  readonly case: CaseName
  readonly jobs: number
  /** The file for a CPU profile of what is measured. Default: none is made. */
  readonly profile?: string | undefined
}

const WARM_UP_JOBS = 4_000

const order = orderOfParent<RoundOrder>()
const { share = 1, run, warmUp = run } = caseOf(order.case)
const ground = await openGround(order.ground, order.url)
const open = await contestant(order.contestant)
const setting = { open, ground, contestant: order.contestant }

await warmUp({ ...setting, url: await ground.fresh(), jobs: WARM_UP_JOBS * share })
const url = await ground.fresh()
const jobs = Math.max(1, Math.round(order.jobs * share))
const finding: Finding = await run({ ...setting, url, jobs, profile: order.profile })
await ground.close()
answerParent(finding)
