/** What came of several attempts, of which some may have failed. */
export interface Outcomes<T> {
  readonly done: readonly T[]
  readonly failed: PromiseRejectedResult | undefined
}

/** Waits for all of them, whatever becomes of each. */
export async function outcomesOf<T>(attempts: readonly Promise<T>[]): Promise<Outcomes<T>> {
  const [only] = attempts
  // The usual case, and it need not pay for the others.
  if (only !== undefined && attempts.length === 1) {
    return only.then(
      (value) => ({ done: [value], failed: undefined }),
      (reason) => ({ done: [], failed: { status: 'rejected', reason } }),
    )
  }
  const results = await Promise.allSettled(attempts)
  return {
    done: results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    failed: results.find((result) => result.status === 'rejected'),
  }
}
