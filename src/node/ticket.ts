/**
 * Tickets as programs use them.
 *
 * @module
 */

import { formatTicket, parseTicket, type Ticket as TicketData } from '../core/index.js';

/** What one end hands the other out of band; whoever has it can open sessions. */
export type Ticket = TicketData;

export const Ticket = {
  /** @throws UsageError telling what is wrong, without repeating any of the text. */
  parse: parseTicket,
  /** `roving://ADDRESS,ADDRESS#SECRETS`. @throws UsageError if a part has the wrong length. */
  format: formatTicket,
} as const;

export function asTicket(ticket: Ticket | string): Ticket {
  return typeof ticket === 'string' ? parseTicket(ticket) : ticket;
}
