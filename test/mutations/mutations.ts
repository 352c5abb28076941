/** The rules that hold the queue together, and the edit that takes each of them away. */
export interface Mutation {
  /** The rule. */
  readonly rule: string
  readonly file: string
  readonly find: string
  readonly replace: string
  /** Tests that look besides those of the core, in Node or in workerd. */
  readonly tests?: readonly string[]
  readonly project?: 'node' | 'objects'
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
    file: 'src/kv/upkeep.ts',
    find: 'return score < lapsedBefore || ',
    replace: 'return score < lapsedBefore + 600 || ',
  },
  {
    rule: 'mailbox: changes of one claim wait for each other',
    file: 'src/kv/claim.ts',
    find: 'const result = this.#tail.then(act)',
    replace: 'const result = Promise.resolve().then(act)',
  },
  {
    rule: 'cancelling: only the end of an attempt says that its handler has stopped',
    file: 'src/kv/claim.ts',
    find: 'this.#inTurn(async () => this.#over ?? this.#apply(changeOf))',
    replace:
      "this.#inTurn(() => this.#apply((life) => (this.#over === 'cancelled' ? ACKNOWLEDGEMENT : changeOf(life))))",
  },
  {
    rule: 'cancelling: the holder is woken',
    file: 'src/kv/claim.ts',
    find: "if (kind === 'cancelling') return [",
    replace: "if (kind === ('none' as string)) return [",
  },
  {
    rule: 'renewal: the next look comes when one falls due, not when the lease ends',
    file: 'src/kv/renewals.ts',
    find: 'this.#held.get(claim)?.renewing',
    replace: 'this.#held.has(claim)',
  },
  {
    rule: 'stop: a claim that came too late is given back before it is over',
    file: 'src/kv/dispatcher.ts',
    find: 'await Promise.allSettled(givenBack)',
    replace: 'void givenBack',
  },
  {
    rule: 'add: the data is read before anything is waited for',
    file: 'src/kv/job-adder.ts',
    find: 'const parts = additions.map(({ job }) => partsOf(job))\n    const store = await this.#options.session.store()\n',
    replace:
      'const store = await this.#options.session.store()\n    const parts = additions.map(({ job }) => partsOf(job))\n',
    tests: ['test/vendure-parity/job.test.ts'],
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
    find: "const lease = life.state === 'RUNNING' && !byHolder ? life.lease : null",
    replace: 'const lease = null',
  },
  {
    rule: 'whoever ends another’s lease leaves no trace of its owner',
    file: 'src/kv/upkeep.ts',
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
    file: 'src/kv/upkeep.ts',
    find: 'round < ROUNDS_MAX && duesOf(look).length > 0',
    replace: 'round < 0 && duesOf(look).length > 0',
  },
  {
    rule: 'a paused queue gives no jobs',
    file: 'src/kv/claimer.ts',
    find: 'session.commit([put, { key: pauseKey(record.queueName), expect: null }])',
    replace: 'session.commit([put])',
  },
  {
    rule: 'a take whose answer was lost is known again',
    file: 'src/kv/taker.ts',
    find: 'const found = await findTaken()',
    replace: 'const found: JobRecord[] = []',
  },
  {
    rule: 'only what bears the stamp of a lost take was taken by it',
    file: 'src/kv/taker.ts',
    find: 'record !== null && record.stamp === stamp && record.place === into',
    replace: 'record !== null',
  },
  {
    rule: 'who took jobs is believed or not after the look beside it',
    file: 'src/kv/claimer.ts',
    find: `  const look = taken.length === 0 ? await looking : await found`,
    replace: `  const early = believedClaims(session, taken)
    const look = taken.length === 0 ? await looking : await found
    if (early.length > 0) return { claims: early, nextDueAt: null }`,
  },
  {
    rule: 'memory: a unit is committed just when every version is as expected',
    file: 'src/store/record-index.ts',
    find: '(this.#rows.get(put.key)?.version ?? null) === put.expect',
    replace: 'put.expect === put.expect',
  },
  {
    rule: 'sqlite: a unit is committed just when every version is as expected',
    file: 'adapters/store/sqlite.ts',
    find: '(befores[i]?.version ?? null) === expect)',
    replace: 'expect === expect || befores[i] === null)',
    tests: ['test/conformance/sqlite.test.ts'],
  },
  {
    rule: 'Cloudflare KV: a record is written over just when its version is as expected',
    file: 'adapters/store/cloudflare-kv.ts',
    find: 'return row?.version === expect ? row : null',
    replace: 'return row ?? null',
    tests: ['test/conformance/simulated-kv.test.ts'],
  },
  {
    rule: 'Redis: a unit is committed just when every version is as expected',
    file: 'adapters/store/lua/scripts.ts',
    find: 'if current ~= put.expect then holds = false end',
    replace: '',
    tests: ['test/conformance/redis.test.ts'],
  },
  {
    rule: 'Redis: a script that is sent twice is known again',
    file: 'adapters/store/lua/scripts.ts',
    find: 'results[u] = replayed and 1 or 0',
    replace: 'results[u] = 0',
    tests: ['test/conformance/redis.test.ts'],
  },
  {
    rule: 'Redis: a take that is sent twice takes once',
    file: 'adapters/store/lua/scripts.ts',
    find: 'if holder == stamp then give(before[i], packed) end',
    replace: '',
    tests: ['test/conformance/redis.test.ts'],
  },
  {
    rule: 'Redis: a renewal moves the deadline',
    file: 'adapters/store/lua/scripts.ts',
    find: "if toPlace ~= place or toScore ~= score then redis.call('ZADD'",
    replace: "if toPlace ~= place then redis.call('ZADD'",
    tests: ['test/conformance/redis.test.ts'],
  },
  {
    rule: 'sqlite: a renewal moves the deadline',
    file: 'adapters/store/sqlite.ts',
    find: 'score = excluded.score, stamp = excluded.stamp, head',
    replace: 'stamp = excluded.stamp, head',
    tests: ['test/conformance/sqlite.test.ts'],
  },
  {
    rule: 'PostgreSQL: a unit is committed just when every version is as expected',
    file: 'adapters/store/postgres/schema.ts',
    find: 'where p.expect is not null and r.version is distinct from p.expect',
    replace: 'where p.expect is not null and r.version is null',
    tests: ['test/conformance/postgres.test.ts'],
  },
  {
    rule: 'PostgreSQL: of two that make a record one does',
    file: 'adapters/store/postgres/schema.ts',
    find: 'on conflict do nothing returning key',
    replace: 'on conflict (key) do update set version = excluded.version returning key',
    tests: ['test/conformance/postgres.test.ts'],
  },
  {
    rule: 'PostgreSQL: what is committed was locked first',
    file: 'adapters/store/postgres/schema.ts',
    find: '  perform 1 from {records} where key = any(held) order by key for update;\n',
    replace: '',
    tests: ['test/conformance/postgres.test.ts'],
  },
  {
    rule: 'PostgreSQL: a renewal moves the deadline',
    file: 'adapters/store/postgres/schema.ts',
    find: 'score = coalesce(p.score, r.score), stamp',
    replace: 'score = r.score, stamp',
    tests: ['test/conformance/postgres.test.ts'],
  },
  {
    rule: 'PostgreSQL: two takers never take one record',
    file: 'adapters/store/postgres/schema.ts',
    find: ' for update skip locked',
    replace: '',
    tests: ['test/conformance/postgres.test.ts'],
  },
  {
    rule: 'D1: a unit is committed just when every version is as expected',
    file: 'adapters/store/d1/statements.ts',
    find: 'having min(r.version is p.expect)',
    replace: 'having min(r.version is p.expect or p.expect is not null)',
    project: 'objects',
    tests: ['test/objects/d1.test.ts'],
  },
  {
    rule: 'D1: a renewal moves the deadline',
    file: 'adapters/store/d1/statements.ts',
    find: '    score = excluded.score, stamp',
    replace: '    stamp',
    project: 'objects',
    tests: ['test/objects/d1.test.ts'],
  },
  {
    rule: 'Durable Object: a unit is committed just when every version is as expected',
    file: 'adapters/store/durable-object/object-records.ts',
    find: '(befores[i]?.version ?? null) === expect)',
    replace: 'expect === expect || befores[i] === null)',
    project: 'objects',
    tests: ['test/objects/conformance.test.ts'],
  },
  {
    rule: 'Durable Object: a renewal moves the deadline that is kept in memory',
    file: 'adapters/store/durable-object/object-records.ts',
    find: 'this.#leased().set((before ?? after)?.key as string, leased)',
    replace:
      'if (before?.place !== after?.place) this.#leased().set((before ?? after)?.key as string, leased)',
    project: 'objects',
    tests: ['test/objects/conformance.test.ts'],
  },
  {
    rule: 'Durable Object: one that wakes without its alarm sets it again',
    file: 'adapters/store/durable-object/queue-object.ts',
    find: 'if (this.#armedFor === null) await this.#arm(this.#records.nextDue(this.drainsOnAdd))',
    replace: '',
    project: 'objects',
    tests: ['test/objects/object.test.ts'],
  },
  {
    rule: 'unstorage: a torn head leaves the one before it',
    file: 'src/store/record-slots.ts',
    find: 'const slot = this.#slots.get(key)?.spare ?? this.#newSlot()',
    replace: 'const slot = this.#slots.get(key)?.current ?? this.#newSlot()',
    tests: ['test/store/unstorage-crash.test.ts', 'test/store/unstorage-faults.test.ts'],
  },
  {
    rule: 'Deno KV: a commit that was sent again knows that it was done',
    file: 'adapters/store/deno-kv/access.ts',
    find: '?? (await this.#before(key, token))',
    replace: '?? null',
    tests: ['test/conformance/deno-kv.test.ts'],
  },
  {
    rule: 'Deno KV: what another process wrote is read, whatever is remembered',
    file: 'adapters/store/deno-kv/commit.ts',
    find: 'every(({ expect }) => expect === found?.row.version)',
    replace: 'some(({ expect }) => expect === found?.row.version)',
    tests: ['test/conformance/deno-kv.test.ts'],
  },
  {
    rule: 'Deno KV: a file that is locked is tried again',
    file: 'adapters/store/deno-kv/access.ts',
    find: 'if (!isLock(error)) throw error',
    replace: 'throw error',
    tests: ['test/store/deno-kv-store.test.ts'],
  },
  {
    rule: 'Deno KV: who deletes abandoned texts takes their list first',
    file: 'adapters/store/deno-kv/texts.ts',
    find: '(await this.#access.commit(claim)) !== null',
    replace: 'claim !== null',
    tests: ['test/store/deno-kv-store.test.ts'],
  },
  {
    rule: 'Redis: a subscription waits for its connection',
    file: 'adapters/store/redis.ts',
    find: 'await this.#ready(this.#client)',
    replace: 'await null',
    tests: ['test/conformance/redis.test.ts'],
  },
]
