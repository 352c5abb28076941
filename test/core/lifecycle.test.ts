import { describe, expect, test } from 'vitest'
import {
  clampProgress,
  type JobEvent,
  type JobLife,
  JobState,
  transition,
} from '../../src/lifecycle.ts'

const LEASE = { owner: 'me', until: 1_000, lengthMs: 100 }
const PENDING: JobLife = {
  state: 'PENDING',
  retries: 1,
  attempts: 0,
  lapses: 0,
  progress: 0,
  runAt: null,
  startedAt: null,
  settledAt: null,
  error: undefined,
  fence: 0,
  lease: null,
}
const RUNNING: JobLife = {
  ...PENDING,
  state: 'RUNNING',
  attempts: 1,
  startedAt: 10,
  fence: 10,
  lease: LEASE,
}
const RETRYING: JobLife = {
  ...PENDING,
  state: 'RETRYING',
  attempts: 1,
  runAt: 50,
  error: 'no',
  fence: 10,
}
const COMPLETED: JobLife = {
  ...RUNNING,
  state: 'COMPLETED',
  settledAt: 20,
  lease: null,
  progress: 100,
}
const FAILED: JobLife = {
  ...RUNNING,
  state: 'FAILED',
  attempts: 2,
  settledAt: 20,
  lease: null,
  error: 'no',
}
const CANCELLED: JobLife = { ...PENDING, state: 'CANCELLED', settledAt: 20 }
const HELD: JobLife = { ...PENDING, fence: 10, lease: LEASE }
const CANCELLING: JobLife = { ...RUNNING, state: 'CANCELLED', settledAt: 20 }

const EVENTS: { readonly [Type in JobEvent['type']]: JobEvent & { readonly type: Type } } = {
  started: { type: 'started', at: 30, lease: LEASE },
  held: { type: 'held', at: 30, lease: LEASE },
  renewed: { type: 'renewed', until: 2_000 },
  progressed: { type: 'progressed', progress: 40 },
  completed: { type: 'completed', at: 30 },
  failed: { type: 'failed', at: 30, error: 'oh', retryAt: 60 },
  deferred: { type: 'deferred' },
  lapsed: { type: 'lapsed', at: 30, maxLapses: 3 },
  cancelled: { type: 'cancelled', at: 30 },
  acknowledged: { type: 'acknowledged' },
  retried: { type: 'retried', at: 30 },
}

/** What each event makes of each state: the fields that change, or null where it does not apply. */
const TABLE: readonly [string, JobLife, Partial<Record<JobEvent['type'], Partial<JobLife>>>][] = [
  [
    'PENDING',
    PENDING,
    {
      started: { state: 'RUNNING', attempts: 1, startedAt: 30, fence: 30, lease: LEASE },
      held: { lease: LEASE, fence: 30 },
      progressed: { progress: 40 },
      completed: { state: 'COMPLETED', settledAt: 30, progress: 100 },
      cancelled: { state: 'CANCELLED', settledAt: 30 },
    },
  ],
  [
    'PENDING, held by its adder',
    HELD,
    {
      // The start belongs to the claim that held it, so the fence stays.
      started: { state: 'RUNNING', attempts: 1, startedAt: 30, fence: 10, lease: LEASE },
      renewed: { lease: { ...LEASE, until: 2_000 } },
      progressed: { progress: 40 },
      completed: { state: 'COMPLETED', settledAt: 30, progress: 100, lease: null },
      deferred: { lease: null },
      lapsed: { lease: null },
      cancelled: { state: 'CANCELLED', settledAt: 30, lease: null },
    },
  ],
  [
    'RETRYING',
    RETRYING,
    {
      started: { state: 'RUNNING', attempts: 2, startedAt: 30, fence: 30, lease: LEASE },
      held: { lease: LEASE, fence: 30 },
      progressed: { progress: 40 },
      completed: { state: 'COMPLETED', settledAt: 30, progress: 100, error: undefined },
      cancelled: { state: 'CANCELLED', settledAt: 30 },
    },
  ],
  [
    'RUNNING',
    RUNNING,
    {
      renewed: { lease: { ...LEASE, until: 2_000 } },
      progressed: { progress: 40 },
      completed: { state: 'COMPLETED', settledAt: 30, progress: 100, lease: null },
      failed: { state: 'RETRYING', error: 'oh', runAt: 60, lease: null },
      deferred: { state: 'PENDING', attempts: 0, lease: null },
      lapsed: { state: 'PENDING', attempts: 0, lapses: 1, lease: null },
      // Its handler has not stopped: whoever waits for its place waits for that.
      cancelled: { state: 'CANCELLED', settledAt: 30, lease: LEASE },
    },
  ],
  [
    'CANCELLED, its handler not stopped',
    CANCELLING,
    {
      acknowledged: { lease: null },
      lapsed: { lease: null },
    },
  ],
  [
    'COMPLETED',
    COMPLETED,
    {
      retried: {
        state: 'PENDING',
        attempts: 0,
        progress: 0,
        runAt: 30,
        startedAt: null,
        settledAt: null,
      },
    },
  ],
  [
    'FAILED',
    FAILED,
    {
      retried: {
        state: 'PENDING',
        attempts: 0,
        runAt: 30,
        startedAt: null,
        settledAt: null,
        error: undefined,
      },
    },
  ],
  [
    'CANCELLED',
    CANCELLED,
    {
      retried: { state: 'PENDING', runAt: 30, settledAt: null },
    },
  ],
]

describe('transition()', () => {
  for (const [name, life, outcomes] of TABLE) {
    for (const event of Object.values(EVENTS)) {
      const changes = outcomes[event.type]
      test(`${name}, ${event.type}: ${changes ? JSON.stringify(changes) : 'nothing'}`, () => {
        expect(transition(life, event)).toEqual(changes ? { ...life, ...changes } : null)
      })
    }
  }

  test.each([
    { retries: 0, attempts: 1, to: 'FAILED', why: 'no retries' },
    { retries: 1, attempts: 1, to: 'RETRYING', why: 'one is left' },
    { retries: 1, attempts: 2, to: 'FAILED', why: 'the last is used up' },
    { retries: 2, attempts: 2, to: 'RETRYING', why: 'one of two is left' },
  ])(
    'a failure with $retries retries at attempt $attempts: $to, $why',
    ({ retries, attempts, to }) => {
      expect(transition({ ...RUNNING, retries, attempts }, EVENTS.failed)?.state).toBe(to)
    },
  )

  test('lapses give their attempt back until there were too many', () => {
    let life: JobLife = { ...RUNNING, retries: 0 }
    for (let lapses = 1; lapses <= 3; lapses++) {
      life = transition(life, EVENTS.lapsed) as JobLife
      expect(life).toMatchObject({ state: 'PENDING', attempts: 0, lapses })
      life = transition(life, EVENTS.started) as JobLife
    }
    expect(transition(life, EVENTS.lapsed)).toMatchObject({
      state: 'FAILED',
      lapses: 4,
      settledAt: 30,
    })
    expect(transition(life, EVENTS.lapsed)?.error).toMatch(/^Stalled: .*4 times, at most 3/)
  })

  test.each([
    { before: 0, at: 30, fence: 30, why: 'the time of the claim' },
    { before: 30, at: 30, fence: 31, why: 'two claims in one millisecond' },
    { before: 90, at: 30, fence: 91, why: 'a clock that fell' },
  ])('the fence grows from $before at $at to $fence: $why', ({ before, at, fence }) => {
    expect(
      transition({ ...PENDING, fence: before }, { type: 'started', at, lease: LEASE })?.fence,
    ).toBe(fence)
  })

  test('every state is one of the six', () => {
    expect(Object.values(JobState)).toEqual([
      'PENDING',
      'RUNNING',
      'COMPLETED',
      'RETRYING',
      'FAILED',
      'CANCELLED',
    ])
  })
})

test.each([
  [-5, 0],
  [0, 0],
  [33.3, 33.3],
  [100, 100],
  [101, 100],
  [Infinity, 100],
  [-Infinity, 0],
  [NaN, 0],
  [null, 0],
  [undefined, 0],
  ['50', 50],
  ['x', 0],
])('clampProgress(%s) is %s', (given, progress) => {
  expect(clampProgress(given as number)).toBe(progress)
})
