import { Logger as VendureLog } from '@vendure/core'
import type { Logger } from '../../src/main.ts'

export const LOG_CONTEXT = 'WherryJobQueuePlugin'

type Fields = Readonly<Record<string, unknown>>

/** Says in Vendure's log what happened. */
export const vendureLogger: Logger = {
  debug: (message, fields) => VendureLog.debug(line(message, fields), LOG_CONTEXT),
  info: (message, fields) => VendureLog.verbose(line(message, fields), LOG_CONTEXT),
  warn: (message, fields) => VendureLog.warn(line(message, fields), LOG_CONTEXT),
  error: (message, fields) => {
    const { error } = fields ?? {}
    VendureLog.error(line(message, fields), LOG_CONTEXT, (error as Error | undefined)?.stack)
  },
}

function line(message: string, fields: Fields = {}): string {
  const { error, ...others } = fields
  const shown = Object.entries(others).map(([name, value]) => `${name}: ${String(value)}`)
  if (error !== undefined) shown.unshift(error instanceof Error ? error.message : String(error))
  return shown.length === 0 ? message : `${message} (${shown.join(', ')})`
}
