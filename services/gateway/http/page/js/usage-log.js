// What the answers of this tab took.

/** [{question, usage, timings}], in the order in which they were asked. */
export const turns = [];

/** Keeps what a turn took. */
export function noteTurn(question, { usage = {}, timings = {} }) {
  turns.push({ question, usage, timings });
}
