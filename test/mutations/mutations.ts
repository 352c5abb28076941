/** The rules that hold the queue together, and the edit that takes each of them away. */
export interface Mutation {
  /** The rule. */
  readonly rule: string
  readonly file: string
  readonly find: string
  readonly replace: string
}

export const MUTATIONS: readonly Mutation[] = [
  {
    rule: 'owner nonce: a settlement whose answer was lost is known again',
    file: 'src/kv/claim.ts',
    find: "return kind === 'cancelled' ? this.#end('cancelled') : 'done'",
    replace: "return this.#end('lost')",
  },
  {
    rule: 'owner nonce: a claim whose answer was lost is known again',
    file: 'src/kv/claimer.ts',
    find: "return found?.owner === owner && found.life.state === 'RUNNING' ? found : null",
    replace: 'return null',
  },
  {
    rule: 'owner nonce: a rival of the same fence is told from oneself',
    file: 'src/kv/claimer.ts',
    find: 'found?.owner === owner',
    replace: 'found !== null',
  },
  {
    rule: 'add nonce: a job that was added by a lost commit is known again',
    file: 'src/kv/job-adder.ts',
    find: 'if (found.nonce !== record.nonce) throw idTaken(record.id)',
    replace: 'throw idTaken(record.id)',
  },
  {
    rule: 'store clock: time is the store’s, not the process’s',
    file: 'src/kv/store-clock.ts',
    find: 'this.#sample = { now, sentAt, receivedAt: this.#clock.monotonic() }',
    replace: 'void now',
  },
  {
    rule: 'store clock: lapses are judged by the time of the read',
    file: 'src/kv/claimer.ts',
    find: 'return score < lapsedBefore || ',
    replace: 'return score < lapsedBefore + 600 || ',
  },
  {
    rule: 'mailbox: changes of one claim wait for each other',
    file: 'src/kv/claim.ts',
    find: 'const result = this.#tail.then(() => this.#apply(changeOf))',
    replace: 'const result = Promise.resolve().then(() => this.#apply(changeOf))',
  },
  {
    rule: 'versions are tokens: they come from no counter that starts again',
    file: 'src/store/memory-store.ts',
    find: 'const version = this.#versions.next()',
    replace:
      "const version = String(Number(this.#index.get(writes[0]?.key ?? '')?.version ?? 0) + 1)",
  },
  {
    rule: 'a claim whose answer came after its lease is dropped',
    file: 'src/kv/claimer.ts',
    find: 'if (claim.believed) return true',
    replace: 'return true',
  },
  {
    rule: 'a holder’s belief counts from before its request',
    file: 'src/kv/store-clock.ts',
    find: 'return Math.ceil(sample.now + this.#clock.monotonic() - sample.sentAt)',
    replace: 'return Math.ceil(sample.now + this.#clock.monotonic() - sample.receivedAt)',
  },
  {
    rule: 'lapses are counted apart from retries',
    file: 'src/lifecycle.ts',
    find: 'if (lapses <= maxLapses) return { ...givenBack(life), lapses }',
    replace: 'if (life.retries >= life.attempts) return { ...givenBack(life), lapses }',
  },
  {
    rule: 'lapses come to an end',
    file: 'src/lifecycle.ts',
    find: 'if (lapses <= maxLapses) return { ...givenBack(life), lapses }',
    replace: 'if (maxLapses >= 0) return { ...givenBack(life), lapses }',
  },
  {
    rule: 'fences grow over every claim',
    file: 'src/lifecycle.ts',
    find: 'return Math.max(life.fence + 1, at)',
    replace: 'return at',
  },
  {
    rule: 'a settled job never changes',
    file: 'src/lifecycle.ts',
    find: '    if (isSettledState(life.state)) return null\n    const lease = life.state',
    replace: '    const lease = life.state',
  },
  {
    rule: 'the lease of a cancelled job stays until its holder has stopped',
    file: 'src/lifecycle.ts',
    find: "const lease = life.state === 'RUNNING' ? life.lease : null",
    replace: 'const lease = null',
  },
  {
    rule: 'whoever ends another’s lease leaves no trace of its owner',
    file: 'src/kv/claimer.ts',
    find: "return { ...record, life, owner: '' }",
    replace: 'return { ...record, life }',
  },
  {
    rule: 'renewals: a lease is renewed',
    file: 'src/kv/renewals.ts',
    find: 'await claim.renew()',
    replace: 'await Promise.resolve()',
  },
  {
    rule: 'a holder whose lease ran out is told',
    file: 'src/kv/renewals.ts',
    find: 'held.onLost()',
    replace: 'void held.onLost',
  },
  {
    rule: 'wake-ups are hints: nobody sleeps for ever on one',
    file: 'src/kv/resident-worker.ts',
    find: 'const HOPE_MS = 5_000',
    replace: 'const HOPE_MS = 5_000_000',
  },
  {
    rule: 'what has fallen due is promoted',
    file: 'src/kv/claimer.ts',
    find: 'round < UPKEEP_ROUNDS_MAX && duesOf(look).length > 0',
    replace: 'round < 0 && duesOf(look).length > 0',
  },
  {
    rule: 'a paused queue gives no jobs',
    file: 'src/kv/claimer.ts',
    find: 'session.commit([put, { key: pauseKey(record.queueName), expect: null }])',
    replace: 'session.commit([put])',
  },
]
