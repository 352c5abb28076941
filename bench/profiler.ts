import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/** Runs `work` under V8's sampling profiler, and writes what that saw, as Chrome and VS Code read it. */
export async function profiled<T>(path: string, work: () => Promise<T>): Promise<T> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  const result = await work()
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  writeFileSync(path, JSON.stringify(profile))
  return result
}
