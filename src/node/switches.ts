/**
 * Environment variables that turn something off.
 *
 * @module
 */

/** Whether the variable is `0`, `off`, `no` or `false`, in whatever case. */
export function isSwitchedOff(variable: string): boolean {
  const setting = process.env[variable]?.toLowerCase() ?? '';
  return ['0', 'off', 'no', 'false'].includes(setting);
}
